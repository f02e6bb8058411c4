#include "http/router.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace sluice::http {
namespace {

using nlohmann::json;

Router make_router() {
    const auto echo = [](const AdminRequest& request) {
        return AdminResponse::text(request.method + ' ' + std::string{request.param("source")}, "text/plain");
    };
    return Router{{
        {"GET", "/livez", Role::kNone,
         [](const AdminRequest&) { return AdminResponse::text("ok\n", "text/plain"); }},
        {"GET", "/v1/bans", Role::kViewer, echo},
        {"POST", "/v1/bans", Role::kOperator, echo},
        {"DELETE", "/v1/bans/{source}", Role::kOperator, echo},
        {"PUT", "/v1/quotas/{user}/{limit}", Role::kAdmin,
         [](const AdminRequest& request) {
             return AdminResponse::text(
                 std::string{request.param("user")} + '|' + std::string{request.param("limit")},
                 "text/plain");
         }},
        {"GET", "/v1/throws", Role::kViewer,
         [](const AdminRequest&) -> AdminResponse { throw std::runtime_error{"secret detail"}; }},
    }};
}

AdminResponse ask(Role role, std::string method, std::string path) {
    AdminRequest request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.caller.role = role;
    return make_router().dispatch(std::move(request));
}

TEST(Router, DispatchesByMethodAndPath) {
    EXPECT_EQ(ask(Role::kViewer, "GET", "/v1/bans").body, "GET ");
    EXPECT_EQ(ask(Role::kViewer, "HEAD", "/v1/bans").status, 200);
    EXPECT_EQ(ask(Role::kAdmin, "POST", "/v1/bans").body, "POST ");
    EXPECT_EQ(ask(Role::kAdmin, "PUT", "/v1/quotas/al%20ice%2Fx/ai").body, "al ice/x|ai");
    EXPECT_EQ(ask(Role::kOperator, "DELETE", "/v1/bans/2001:db8::%2F32").body, "DELETE 2001:db8::/32");
}

TEST(Router, UnknownPathsAndMethods) {
    for (const auto* path :
         {"/", "/v1", "/v1/bans/", "/v1/bans//", "/V1/bans", "/v1/bans/a/b", "/v1/../v1/bans", "//v1/bans",
          "/v1/bans/%0a", "/v1/bans/%zz", "/v1/bans/%2", ""})
        EXPECT_EQ(ask(Role::kAdmin, "DELETE", path).status, 404) << path;
    const auto response = ask(Role::kAdmin, "PATCH", "/v1/bans");
    EXPECT_EQ(response.status, 405);
    ASSERT_EQ(response.headers.size(), 1U);
    EXPECT_EQ(response.headers[0].second, "GET, POST");
    EXPECT_EQ(ask(Role::kAdmin, "get", "/v1/bans").status, 405);
}

TEST(Router, RolesIncludeTheOnesBelow) {
    EXPECT_EQ(ask(Role::kNone, "GET", "/livez").status, 200);
    EXPECT_EQ(ask(Role::kViewer, "POST", "/v1/bans").status, 403);
    EXPECT_EQ(ask(Role::kOperator, "POST", "/v1/bans").status, 200);
    EXPECT_EQ(ask(Role::kOperator, "PUT", "/v1/quotas/a/b").status, 403);
    const auto body = json::parse(ask(Role::kViewer, "POST", "/v1/bans").body);
    EXPECT_EQ(body["status"], 403);
    EXPECT_EQ(body["detail"], "this needs the role operator; the caller has viewer");
}

TEST(Router, NobodyCannotProbe) {
    for (const auto* path : {"/v1/bans", "/v1/nothing", "/", "/livez/x"}) {
        const auto response = ask(Role::kNone, "GET", path);
        EXPECT_EQ(response.status, 401) << path;
        EXPECT_EQ(response.content_type, "application/problem+json");
    }
    EXPECT_EQ(ask(Role::kNone, "POST", "/livez").status, 401);
}

TEST(Router, AHandlersExceptionIsNotTold) {
    const auto response = ask(Role::kAdmin, "GET", "/v1/throws");
    EXPECT_EQ(response.status, 500);
    EXPECT_EQ(response.body.find("secret"), std::string::npos);
}

TEST(Router, ProblemsAreJsonWhateverTheyQuote) {
    const auto response = AdminResponse::problem(Error{ErrorCode::kConflict, "bad \xff\"\n name"});
    EXPECT_EQ(response.status, 409);
    EXPECT_EQ(json::parse(response.body)["detail"], "bad \ufffd\"\n name");
}

TEST(ParseAdminTarget, SplitsAndDecodes) {
    const auto target = parse_admin_target("/v1/top?by=drops&n=20&x=a%26b+c&by=other&flag&=v").value();
    EXPECT_EQ(target.path, "/v1/top");
    EXPECT_EQ(target.query,
              (AdminRequest::Values{{"by", "drops"}, {"n", "20"}, {"x", "a&b c"}, {"flag", ""}}));
    EXPECT_TRUE(parse_admin_target("/?")->query.empty());
}

TEST(ParseAdminTarget, Refuses) {
    for (const auto* target :
         {"", "*", "http://host/v1", "v1", "/a?b=%", "/a?b=%4", "/a?b=%zz", "/a%00", "/a?b=%0d%0a"})
        EXPECT_FALSE(parse_admin_target(target)) << target;
}

TEST(ParseAdminTarget, QueriesAreBounded) {
    std::string target = "/?";
    for (int i = 0; i < 1000; ++i) target += 'k' + std::to_string(i) + "=v&";
    EXPECT_EQ(parse_admin_target(target)->query.size(), 64U);
}

}  // namespace
}  // namespace sluice::http
