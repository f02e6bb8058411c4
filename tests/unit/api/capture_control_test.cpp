#include "api/capture_control.hpp"

#include "api/admin_api.hpp"
#include "kernel/pcapng.hpp"
#include "plane_fixture.hpp"

namespace sluice {
namespace {

class CaptureControlTest : public PlaneTest {
  protected:
    http::AdminResponse post(const std::string& body, http::Role role = http::Role::kAdmin) {
        http::AdminRequest request;
        request.method = "POST";
        request.path = "/v1/capture";
        request.body = body;
        request.caller = {role, "alice", "token from 192.0.2.77", "192.0.2.77"};
        return router_.dispatch(std::move(request));
    }
    // Two packets arrive.
    void arrive() {
        kernel_.captured.packets = {
            {5, "eth0", "drop", "denied", "denied", 1514, frame_},
            {6, "eth0", "pass", "shadow", "limit_udp", 60, frame_},
        };
    }
    static std::string take(const http::AdminResponse& response) {
        std::string bytes;
        response.stream->take(bytes);
        return bytes;
    }

    FakeKernel kernel_;
    CaptureControl captures_{&kernel_, *log_};
    http::Router router_{capture_routes(captures_)};
    const std::vector<std::uint8_t> frame_ = std::vector<std::uint8_t>(60, 7);
};

TEST_F(CaptureControlTest, PacketsBecomeAFileThatEndsWithTheCapture) {
    const auto response =
        post(R"({"source":"192.0.2.0/24","packets":2,"seconds":3,"snap":64,"verdict":"dropped"})");
    ASSERT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.content_type, "application/x-pcapng");
    ASSERT_TRUE(response.stream);
    const CaptureRequest& asked = kernel_.captured.asked;
    EXPECT_EQ(asked.source.to_string(), "192.0.2.0/24");
    EXPECT_EQ(asked.packets, 2U);
    EXPECT_EQ(asked.duration, 3 * kSecond);
    EXPECT_EQ(asked.snap_bytes, 64U);
    EXPECT_EQ(asked.verdicts, CapturedVerdicts::kDropped);

    int woken = 0;
    response.stream->on_ready([&woken] { ++woken; });
    const std::string head = take(response);
    EXPECT_GT(tally_pcapng(head).whole_bytes, 0U) << "at once, so that the client knows it began";
    captures_.drain();
    EXPECT_EQ(woken, 0) << "nothing came";
    arrive();
    captures_.drain();
    EXPECT_EQ(woken, 1);
    const std::string packets = take(response);
    EXPECT_EQ(tally_pcapng(packets).packets, 2U);
    EXPECT_NE(packets.find("verdict=drop reason=denied"), std::string::npos);
    EXPECT_NE(packets.find("verdict=pass reason=shadow would=limit_udp"), std::string::npos);
    EXPECT_EQ(packets.find("would=denied"), std::string::npos);
    EXPECT_FALSE(response.stream->over());

    kernel_.captured.progress = {.over = true, .lost = 9};
    captures_.drain();
    EXPECT_TRUE(response.stream->over());
    EXPECT_FALSE(kernel_.captured.running);
    const PcapngTally end = tally_pcapng(take(response));
    EXPECT_TRUE(end.ended);
    EXPECT_EQ(end.lost, 9U);
    arrive();
    captures_.drain();
    EXPECT_EQ(take(response), "") << "what comes after the end is nobody's";
}

TEST_F(CaptureControlTest, DefaultsAreSmall) {
    ASSERT_EQ(post(R"({"source":"2001:db8::1"})").status, 200);
    EXPECT_EQ(kernel_.captured.asked.source.to_string(), "2001:db8::1");
    EXPECT_EQ(kernel_.captured.asked.packets, 100U);
    EXPECT_EQ(kernel_.captured.asked.duration, 10 * kSecond);
    EXPECT_EQ(kernel_.captured.asked.snap_bytes, 128U);
    EXPECT_EQ(kernel_.captured.asked.verdicts, CapturedVerdicts::kAll);
}

TEST_F(CaptureControlTest, OneAtATimeUntilItEndsOrItsClientGoes) {
    auto first = post(R"({"source":"192.0.2.1"})");
    ASSERT_EQ(first.status, 200);
    const auto second = post(R"({"source":"192.0.2.2"})");
    EXPECT_EQ(second.status, 409);
    EXPECT_EQ(kernel_.captured.asked.source.to_string(), "192.0.2.1") << "the first goes on";

    first.stream.reset();  // its client has gone
    captures_.drain();
    EXPECT_FALSE(kernel_.captured.running);
    const auto third = post(R"({"source":"192.0.2.3"})");
    ASSERT_EQ(third.status, 200);
    EXPECT_TRUE(kernel_.captured.running);
    kernel_.captured.progress.over = true;
    captures_.drain();
    EXPECT_EQ(post(R"({"source":"192.0.2.4"})").status, 200) << "the third ended, whether it was read or not";
}

TEST_F(CaptureControlTest, MistakesNameWhatIsWrongAndStartNothing) {
    for (const auto& [body, named] : std::vector<std::pair<std::string, std::string>>{
             {"{}", "source"},
             {R"({"source":"nonsense"})", "nonsense"},
             {R"({"source":"192.0.2.1","verdict":"maybe"})", "all, dropped, passed"},
             {R"({"source":"192.0.2.1","packets":"many"})", "packets"},
             {R"({"source":"192.0.2.1","port":1})", "port"}}) {
        const auto response = post(body);
        EXPECT_EQ(response.status, 400) << body;
        EXPECT_NE(response.body.find(named), std::string::npos) << response.body;
    }
    EXPECT_FALSE(kernel_.captured.running);
}

TEST_F(CaptureControlTest, OnlyAdminsAndItIsOnRecord) {
    EXPECT_EQ(post(R"({"source":"192.0.2.1"})", http::Role::kOperator).status, 403);
    EXPECT_EQ(log_text("audit"), "");
    EXPECT_EQ(post(R"({"source":"192.0.2.1"})").status, 200);
    const std::string audit = log_text("audit");
    EXPECT_NE(audit.find("capture-started"), std::string::npos) << audit;
    EXPECT_NE(audit.find("alice"), std::string::npos) << audit;
    EXPECT_NE(audit.find("\"object\":\"192.0.2.1\""), std::string::npos) << audit;
}

TEST_F(CaptureControlTest, WithoutInterfacesThereIsNothingToCapture) {
    CaptureControl none{nullptr, *log_};
    none.drain();
    const auto started = none.start(CaptureRequest{}, Actor{});
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace sluice
