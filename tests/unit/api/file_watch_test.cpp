#include "api/file_watch.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace sluice {
namespace {

class FileWatchTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "sluice-watch-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    std::string path(const std::string& name) const { return folder_ / name; }
    void write(const std::string& name, const std::string& text) const { std::ofstream{path(name)} << text; }

    std::filesystem::path folder_;
};

TEST_F(FileWatchTest, ReportsAChangeOnceItRests) {
    write("policy.yaml", "a");
    FileWatch watch;
    watch.watch({path("policy.yaml")});
    EXPECT_FALSE(watch.changed());
    write("policy.yaml", "ab");
    EXPECT_FALSE(watch.changed()) << "the first look: may still be written";
    write("policy.yaml", "abc");
    EXPECT_FALSE(watch.changed()) << "it moved again";
    EXPECT_TRUE(watch.changed());
    EXPECT_FALSE(watch.changed());
}

TEST_F(FileWatchTest, SeesASymbolicLinkOfAParentFolderSwapped) {
    std::filesystem::create_directories(folder_ / "v1");
    std::filesystem::create_directories(folder_ / "v2");
    write("v1/policy.yaml", "a");
    write("v2/policy.yaml", "b");
    std::filesystem::create_directory_symlink("v1", folder_ / "current");
    FileWatch watch;
    watch.watch({path("current/policy.yaml")});
    std::filesystem::create_directory_symlink("v2", folder_ / "next");
    std::filesystem::rename(folder_ / "next", folder_ / "current");
    watch.changed();
    EXPECT_TRUE(watch.changed());
}

TEST_F(FileWatchTest, AChangeMadeWhileTheFileWasBeingReadIsNotLost) {
    write("policy.yaml", "a");
    FileWatch watch;
    watch.watch({path("policy.yaml")});
    write("policy.yaml", "ab");
    watch.changed();
    EXPECT_TRUE(watch.changed());
    write("policy.yaml", "abc");  // between the reading of "ab" and the new set of files
    watch.watch({path("policy.yaml"), path("deny.txt")});
    watch.changed();
    EXPECT_TRUE(watch.changed());
}

TEST_F(FileWatchTest, SeesFilesComeAndGo) {
    FileWatch watch;
    watch.watch({path("deny.txt")});
    write("deny.txt", "192.0.2.1\n");
    watch.changed();
    EXPECT_TRUE(watch.changed());
    std::filesystem::remove(path("deny.txt"));
    watch.changed();
    EXPECT_TRUE(watch.changed());
}

}  // namespace
}  // namespace sluice
