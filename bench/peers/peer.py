#!/usr/bin/env python3
"""One peer of the exact engine, timed on one thread inside this process.

    peer.py pytorch|onnxruntime

says "ready VERSION" (or "absent WHY" and ends), then answers lines:

    prepare KIND HEADS N D FOLDER   reads q, k, v (float32, [heads, n, d]) from FOLDER, runs once; "ok"
    run                             seconds of one run
    memory                          bytes by which that first run made resident memory grow; -1 if not known
    output                          writes the answer to FOLDER; "ok"

KIND is plain, causal, or padding: the last eighth of the keys is hidden.
"""

import ctypes
import gc
import os
import sys
import time

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

try:
    import numpy as np
except ImportError:
    np = None


class PyTorch:
    """scaled_dot_product_attention; padding as a boolean mask [1, 1, 1, n]."""

    def __init__(self):
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        self.version = f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()}"

    def prepare(self, kind, q, k, v):
        torch = self.torch
        self.inputs = [torch.from_numpy(x)[None] for x in (q, k, v)]
        self.options = {}
        if kind == "causal":
            self.options["is_causal"] = True
        elif kind == "padding":
            mask = torch.ones(q.shape[1], dtype=torch.bool)
            mask[q.shape[1] // 8 * 7 :] = False
            self.options["attn_mask"] = mask[None, None, None, :]

    def run(self):
        with self.torch.inference_mode():
            self.answer = self.torch.nn.functional.scaled_dot_product_attention(*self.inputs, **self.options)

    def output(self):
        return self.answer[0].numpy()


class OnnxRuntime:
    """MultiHeadAttention of com.microsoft, [batch, n, heads * d]; padding by key_padding_mask, causal by
    `unidirectional`. Inputs and outputs are bound before the clock starts."""

    def __init__(self):
        import onnx
        import onnxruntime

        self.onnx = onnx
        self.runtime = onnxruntime
        self.version = onnxruntime.__version__

    def model(self, kind, heads, n, d):
        helper, types = self.onnx.helper, self.onnx.TensorProto
        shape = [1, n, heads * d]
        inputs = [helper.make_tensor_value_info(name, types.FLOAT, shape) for name in "qkv"]
        names = ["q", "k", "v"]
        if kind == "padding":
            inputs.append(helper.make_tensor_value_info("mask", types.INT32, [1, n]))
            names += ["", "mask"]
        node = helper.make_node(
            "MultiHeadAttention",
            names,
            ["o"],
            domain="com.microsoft",
            num_heads=heads,
            unidirectional=1 if kind == "causal" else 0,
        )
        outputs = [helper.make_tensor_value_info("o", types.FLOAT, shape)]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(helper.make_graph([node], "attention", inputs, outputs), opset_imports=opsets)
        model.ir_version = 8
        return model.SerializeToString()

    def prepare(self, kind, q, k, v):
        heads, n, d = q.shape
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = self.runtime.InferenceSession(
            self.model(kind, heads, n, d), options, providers=["CPUExecutionProvider"]
        )
        feeds = {
            name: np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(1, n, heads * d)
            for name, x in zip("qkv", (q, k, v))
        }
        if kind == "padding":
            feeds["mask"] = (np.arange(n, dtype=np.int32)[None] < n // 8 * 7).astype(np.int32)
        self.answer = np.empty((1, n, heads * d), np.float32)
        self.shape = (n, heads, d)
        self.feeds = {name: self.runtime.OrtValue.ortvalue_from_numpy(x) for name, x in feeds.items()}
        self.bound = self.runtime.OrtValue.ortvalue_from_numpy(self.answer)
        self.binding = self.session.io_binding()
        for name, value in self.feeds.items():
            self.binding.bind_ortvalue_input(name, value)
        self.binding.bind_ortvalue_output("o", self.bound)

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def output(self):
        return np.ascontiguousarray(self.bound.numpy().reshape(self.shape).transpose(1, 0, 2))


LIBRARIES = {"pytorch": PyTorch, "onnxruntime": OnnxRuntime}


def resident(key):
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    return -1


def first_run(peer):
    """Runs the peer; bytes by which resident memory grew at most."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as marks:
            marks.write("5")  # resets VmHWM, see proc(5)
    except OSError:
        peer.run()
        return -1
    before = resident("VmRSS")
    peer.run()
    return resident("VmHWM") - before


def read_tensors(heads, n, d, folder):
    shape = (int(heads), int(n), int(d))
    return [np.fromfile(os.path.join(folder, name), np.float32).reshape(shape) for name in "qkv"]


def main():
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(text):
        print(text, file=answers, flush=True)

    try:
        if np is None:
            raise ImportError("No module named 'numpy'")
        peer = LIBRARIES[sys.argv[1]]()
    except ImportError as error:
        say(f"absent {error}".splitlines()[0])
        return
    say(f"ready {peer.version}")
    folder, memory = "", -1
    for line in sys.stdin:
        command, *arguments = line.split()
        try:
            if command == "prepare":
                kind, folder = arguments[0], arguments[-1]
                peer.prepare(kind, *read_tensors(*arguments[1:]))
                memory = first_run(peer)
                say("ok")
            elif command == "run":
                start = time.perf_counter()
                peer.run()
                say(repr(time.perf_counter() - start))
            elif command == "memory":
                say(memory)
            elif command == "output":
                np.ascontiguousarray(peer.output()).tofile(os.path.join(folder, "output"))
                say("ok")
            else:
                say(f"error unknown command {command}")
        except Exception as error:  # whatever goes wrong in a library is its answer
            say("error " + (str(error).splitlines() or [type(error).__name__])[0])


if __name__ == "__main__":
    main()
