// The one translation unit that compiles what Boost.Asio and Boost.Beast would otherwise compile in each.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
