#pragma once

/// Symbol visibility: everything is hidden except what carries POLYATTN_EXPORT.

#if defined(POLYATTN_STATIC)
#define POLYATTN_EXPORT
#elif defined(_WIN32) && defined(POLYATTN_BUILDING)
#define POLYATTN_EXPORT __declspec(dllexport)
#elif defined(_WIN32)
#define POLYATTN_EXPORT __declspec(dllimport)
#else
#define POLYATTN_EXPORT __attribute__((visibility("default")))
#endif
