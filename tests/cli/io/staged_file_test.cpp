#include "io/staged_file.hpp"

#include "cli/support/files.hpp"
#include "polyattn/error.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

void write(const std::string& path, const std::string& text) {
  io::StagedFile file(path);
  file.write(bytes_of(text));
  file.finish();
  file.commit();
}

mode_t permissions(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 0777;
}

TEST(StagedFile, AppearsOnlyWhenCommitted) {
  const TemporaryDirectory directory;
  {
    io::StagedFile file(directory.file("x"));
    file.write(bytes_of("hello, "));
    file.write(bytes_of("world"));
    file.finish();
    EXPECT_FALSE(std::filesystem::exists(directory.file("x")));
    file.commit();
    EXPECT_EQ(directory.get("x"), "hello, world");
  }
  EXPECT_EQ(directory.list(), std::vector<std::string>{"x"});
}

TEST(StagedFile, LeavesNothingWithoutCommit) {
  const TemporaryDirectory directory;
  directory.put("x", "old");
  {
    io::StagedFile file(directory.file("x"));
    file.write(bytes_of("new"));
    file.finish();
    EXPECT_EQ(directory.list().size(), 2U);
  }
  EXPECT_EQ(directory.list(), std::vector<std::string>{"x"});
  EXPECT_EQ(directory.get("x"), "old");
}

TEST(StagedFile, LeavesNothingAfterACancel) {
  const TemporaryDirectory directory;
  const std::string large(std::size_t{20} << 20, 'x');
  int calls = 0;
  try {
    io::StagedFile file(directory.file("x"));
    file.write(bytes_of(large), [&] { return ++calls < 3; });
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
  }
  EXPECT_EQ(calls, 3);
  EXPECT_TRUE(directory.list().empty());
}

TEST(StagedFile, RemoveTemporaryFilesRemovesThemAll) {
  const TemporaryDirectory directory;
  io::StagedFile one(directory.file("x"));
  io::StagedFile two(directory.file("y"));
  EXPECT_EQ(directory.list().size(), 2U);
  io::remove_temporary_files();
  EXPECT_TRUE(directory.list().empty());
}

TEST(StagedFile, GivesNewFilesTheUsualPermissionsAndKeepsOldOnes) {
  const TemporaryDirectory directory;
  const mode_t mask = ::umask(027);
  write(directory.file("new"), "1");
  ::umask(mask);
  EXPECT_EQ(permissions(directory.file("new")), 0640U);
  directory.put("old", "0");
  ASSERT_EQ(::chmod(directory.file("old").c_str(), 0604), 0);
  write(directory.file("old"), "1");
  EXPECT_EQ(permissions(directory.file("old")), 0604U);
}

TEST(StagedFile, FollowsSymbolicLinks) {
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory.file("sub"));
  directory.put("sub/target", "old");
  std::filesystem::create_symlink("sub/target", directory.file("link"));
  write(directory.file("link"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(directory.file("link")));
  EXPECT_EQ(directory.get("sub/target"), "new");
}

TEST(StagedFile, SaysWhyItCannotBeWritten) {
  const TemporaryDirectory directory;
  try {
    io::StagedFile file(directory.file("none/x"));
    FAIL() << "no error";
  } catch (const io::WriteError& error) {
    EXPECT_EQ(error.what(), directory.file("none/x") + ": cannot be created: No such file or directory");
  }
}

TEST(CheckOutputs, RefusesWhatCannotBeWritten) {
  const TemporaryDirectory directory;
  const std::string input = directory.put("in.npy", "x");
  std::filesystem::create_hard_link(input, directory.file("same.npy"));
  std::filesystem::create_symlink(input, directory.file("link.npy"));
  std::filesystem::create_directory(directory.file("sub"));
  const auto refusal = [&](const std::vector<std::string>& outputs) -> std::string {
    try {
      io::check_outputs(outputs, {directory.file("absent.npy"), input});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      return error.what();
    }
    return "";
  };
  const std::string out = directory.file("out.npy");
  EXPECT_EQ(refusal({out}), "");
  EXPECT_EQ(refusal({out, directory.file("other.npy")}), "");
  EXPECT_EQ(refusal({input}), input + ": would overwrite the input " + input);
  EXPECT_NE(refusal({directory.file("same.npy")}).find("would overwrite the input"), std::string::npos);
  EXPECT_NE(refusal({directory.file("link.npy")}).find("would overwrite the input"), std::string::npos);
  EXPECT_NE(refusal({directory.file("sub/../in.npy")}).find("would overwrite the input"), std::string::npos);
  EXPECT_EQ(refusal({directory.file("sub")}), directory.file("sub") + ": cannot be written: it is a directory");
  EXPECT_NE(refusal({directory.file("new") + "/"}).find("it names a directory"), std::string::npos);
  EXPECT_NE(refusal({directory.file("none/x.npy")}).find("No such file or directory"), std::string::npos);
  EXPECT_NE(refusal({input + "/x.npy"}).find("cannot be written"), std::string::npos);
  EXPECT_NE(refusal({"/dev/null"}).find("is not a regular file"), std::string::npos);
  EXPECT_NE(refusal({out, directory.file("sub/../out.npy")}).find("named twice"), std::string::npos);
  EXPECT_NE(refusal({""}).find("a file name is needed"), std::string::npos);
  EXPECT_EQ(directory.list(), (std::vector<std::string>{"in.npy", "link.npy", "same.npy", "sub"}));
}

}  // namespace
}  // namespace polyattn::test
