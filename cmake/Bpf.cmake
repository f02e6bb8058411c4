# sluice_bpf_object(): see bpf/CMakeLists.txt
