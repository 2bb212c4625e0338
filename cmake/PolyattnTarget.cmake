# polyattn_target(<target>): language level, warnings and the floating-point rules shared by every target of the project.

set(POLYATTN_WARNINGS
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wdouble-promotion -Wnon-virtual-dtor
  -Wold-style-cast -Wcast-align)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND POLYATTN_WARNINGS -Wno-restrict)  # g++ 12 warns about its own std::string (GCC bug 105651)
endif()

# One rounding analysis holds for every build, so nothing may contract a*b+c on its own or assume more than IEEE 754
# grants. errno and trapping are not part of any result.
set(POLYATTN_FLOATING_POINT -ffp-contract=off -fno-math-errno -fno-trapping-math)

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" polyattn_processor)
if(polyattn_processor MATCHES "^(x86_64|amd64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(POLYATTN_X86 TRUE)
else()
  set(POLYATTN_X86 FALSE)
endif()
if(polyattn_processor MATCHES "^(aarch64|arm64)$")
  set(POLYATTN_ARM64 TRUE)
else()
  set(POLYATTN_ARM64 FALSE)
endif()

function(polyattn_target target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES
    CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  target_compile_options(${target} PRIVATE ${POLYATTN_WARNINGS} ${POLYATTN_FLOATING_POINT}
    $<$<BOOL:${POLYATTN_WERROR}>:-Werror>)
endfunction()
