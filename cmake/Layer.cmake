# sluice_layer(NAME [DEPENDS layer...] [LIBRARIES target...])
#
# The folder userspace/NAME is one static library, sluice_NAME. DEPENDS lists the layers it may include; a test checks
# the sources against the same list (tests/unit/include_direction.py reads these calls).
function(sluice_layer name)
    cmake_parse_arguments(layer "" "" "DEPENDS;LIBRARIES" ${ARGN})
    list(TRANSFORM layer_DEPENDS PREPEND sluice_)
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
    list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
    if(NOT sources)
        add_library(sluice_${name} INTERFACE)
        target_link_libraries(sluice_${name} INTERFACE ${layer_DEPENDS} ${layer_LIBRARIES})
        return()
    endif()
    add_library(sluice_${name} STATIC ${sources})
    target_link_libraries(sluice_${name} PUBLIC ${layer_DEPENDS} ${layer_LIBRARIES} PRIVATE sluice_options)
endfunction()
