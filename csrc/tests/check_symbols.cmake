# Fails if an object of one instruction set defines a function that another object may define under the same name.
# The linker keeps one copy of such a function. With a copy for AVX-512, other processors would crash.
execute_process(COMMAND ${NM} --defined-only ${OBJECT} OUTPUT_VARIABLE output RESULT_VARIABLE status)
if(NOT status EQUAL 0 OR NOT output MATCHES "floats|int8")
  message(FATAL_ERROR "${NM} cannot list the symbols of ${OBJECT}")
endif()
string(LENGTH ${ISA} length)
string(REPLACE "\n" ";" lines "${output}")
set(shared "")
foreach(line ${lines})
  # weak, unique and global functions; a mangled name contains the namespace after its length. Clang's function only
  # calls std::terminate and has no vectors.
  if(line MATCHES " [WuT] " AND NOT line MATCHES "${length}${ISA}" AND NOT line MATCHES "__clang_call_terminate")
    list(APPEND shared ${line})
  endif()
endforeach()
if(shared)
  list(JOIN shared "\n  " text)
  message(FATAL_ERROR "functions outside of the namespace ${ISA}; see csrc/engine/vector.h:\n  ${text}")
endif()
