# sluice_bpf_object(TARGET SOURCE file.bpf.c SKELETON name)
#
# Compiles a BPF object against the UAPI headers (no vmlinux.h: it builds where no kernel BTF is) and generates its
# skeleton, generated/bpf/NAME.skel.h. TARGET is an INTERFACE library: link it to include "bpf/NAME.skel.h".
# The depfile makes every header a dependency.
function(sluice_bpf_object target)
    cmake_parse_arguments(bpf "" "SOURCE;SKELETON" "" ${ARGN})
    set(directory "${CMAKE_BINARY_DIR}/generated/bpf")
    set(source "${CMAKE_CURRENT_SOURCE_DIR}/${bpf_SOURCE}")
    set(object "${directory}/${bpf_SKELETON}.bpf.o")
    set(skeleton "${directory}/${bpf_SKELETON}.skel.h")
    file(MAKE_DIRECTORY "${directory}")

    # asm/types.h lives below the architecture's folder, which clang does not search for the BPF target.
    # -mcpu=v3: atomics that return a value (kernel 5.12).
    add_custom_command(
        OUTPUT "${object}"
        COMMAND "${SLUICE_CLANG}" -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Werror -Wno-unused-function
                -Wno-address-of-packed-member -I "${CMAKE_SOURCE_DIR}/bpf"
                -idirafter "/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}"
                -MMD -MF "${object}.d" -MT "${object}" -c "${source}" -o "${object}"
        DEPENDS "${source}"
        DEPFILE "${object}.d"
        COMMENT "BPF object ${bpf_SKELETON}.bpf.o"
        VERBATIM)
    add_custom_command(
        OUTPUT "${skeleton}"
        COMMAND "${SLUICE_BPFTOOL}" gen skeleton "${object}" name "${bpf_SKELETON}" > "${skeleton}.new"
        COMMAND "${CMAKE_COMMAND}" -E rename "${skeleton}.new" "${skeleton}"
        DEPENDS "${object}"
        COMMENT "BPF skeleton ${bpf_SKELETON}.skel.h")
    add_custom_target(${target}_generated DEPENDS "${skeleton}")
    add_library(${target} INTERFACE)
    add_dependencies(${target} ${target}_generated)
    target_include_directories(${target} SYSTEM INTERFACE "${CMAKE_BINARY_DIR}/generated")
    target_link_libraries(${target} INTERFACE PkgConfig::libbpf)
endfunction()
