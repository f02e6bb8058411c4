// Writes docs/metrics.md: metrics_doc_writer FILE.
#include <fstream>
#include <iostream>

#include "telemetry/metrics.hpp"

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "usage: metrics_doc_writer FILE\n";
        return 2;
    }
    std::ofstream file{argv[1]};
    file << sluice::metrics_markdown() << std::flush;
    if (!file) std::cerr << "write " << argv[1] << ": failed\n";
    return file ? 0 : 1;
}
