# A strict JSON cursor over bytes that are not ours: no Python object, no allocation, nothing past ``end`` is read.
#
# Stricter than the decoders behind it on purpose: whatever is refused here (an escape, an exponent, a number of
# more than 32 characters) is declined, and read the long way. Inline functions only: nothing of this is imported
# at run time. Functions that return int answer 1, or 0 for what is to be declined.

from cpython.exc cimport PyErr_Clear
from libc.stdint cimport int64_t, uint64_t

cdef extern from "Python.h":
    double PyOS_string_to_double(const char* text, char** end, void* overflow) noexcept

cdef extern from *:
    """
    #include <float.h>
    /* Each of these powers is exact, and so is a mantissa up to 2^53: one operation rounds once, as float() does.
       Where the machine computes in wider registers it would round twice, and the long way is taken always. */
    static const double frames_power10[23] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
        1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    #if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
    #define FRAMES_EXACT_MAX 9007199254740992ULL
    #else
    #define FRAMES_EXACT_MAX 0ULL
    #endif
    """
    const double frames_power10[23]
    const uint64_t FRAMES_EXACT_MAX

cdef enum:
    NESTING_MAX = 16
    TEXT_NUMBER_MAX = 63
    SKIPPED_NUMBER_MAX = 32
    INTEGER_DIGITS_MAX = 18  # any such number fits into 63 bits


cdef struct Cursor:
    const char* at
    const char* end
    int is_ascii  # cleared by the first byte that is not


cdef struct Text:
    const char* at
    Py_ssize_t size


cdef inline void skip_space(Cursor* c) noexcept:
    while c.at < c.end and (c.at[0] == c" " or c.at[0] == c"\n" or c.at[0] == c"\r" or c.at[0] == c"\t"):
        c.at += 1


cdef inline char peek(Cursor* c) noexcept:
    """The next byte that is no space; 0, which no JSON holds, at the end."""
    skip_space(c)
    return c.at[0] if c.at < c.end else 0


cdef inline int expect(Cursor* c, char wanted) noexcept:
    if peek(c) != wanted:
        return 0
    c.at += 1
    return 1


cdef inline int text(Cursor* c, Text* out) noexcept:
    """A string without escapes."""
    cdef unsigned char byte
    if not expect(c, c'"'):
        return 0
    out.at = c.at
    while c.at < c.end:
        byte = <unsigned char>c.at[0]
        if byte == c'"':
            out.size = c.at - out.at
            c.at += 1
            return 1
        if byte < 0x20 or byte == c"\\":
            return 0
        if byte >= 0x80:
            c.is_ascii = 0
        c.at += 1
    return 0


cdef inline int key(Cursor* c, Text* out) noexcept:
    return text(c, out) and expect(c, c":")


cdef inline int equals(const Text* told, const char* wanted, Py_ssize_t size) noexcept:
    cdef Py_ssize_t k
    if told.size != size:
        return 0
    for k in range(size):
        if told.at[k] != wanted[k]:
            return 0
    return 1


cdef inline int more(Cursor* c, char closing, int* is_last) noexcept:
    """After a member: a comma, or the end of the object or list."""
    cdef char byte = peek(c)
    if byte != c"," and byte != closing:
        return 0
    c.at += 1
    is_last[0] = byte == closing
    return 1


cdef inline int is_digit(Cursor* c) noexcept:
    return c.at < c.end and c"0" <= c.at[0] <= c"9"


cdef inline int integer(Cursor* c, int64_t* out) noexcept:
    """A whole number that is not negative, written as one."""
    cdef int64_t value = 0
    cdef int digits = 0
    skip_space(c)
    while is_digit(c):
        if digits == INTEGER_DIGITS_MAX or (digits == 1 and value == 0):  # 01 is no number
            return 0
        value = value * 10 + (c.at[0] - c"0")
        digits += 1
        c.at += 1
    if digits == 0 or (c.at < c.end and (c.at[0] == c"." or c.at[0] == c"e" or c.at[0] == c"E")):
        return 0
    out[0] = value
    return 1


cdef inline int integer_of_text(const Text* told, int64_t* out) noexcept:
    """A whole number that is written as text."""
    cdef int64_t value = 0
    cdef Py_ssize_t k
    if told.size == 0 or told.size > INTEGER_DIGITS_MAX:
        return 0
    for k in range(told.size):
        if not c"0" <= told.at[k] <= c"9":
            return 0
        value = value * 10 + (told.at[k] - c"0")
    out[0] = value
    return 1


cdef inline int _rounded(const char* start, Py_ssize_t size, double* out) noexcept:
    """Have Python itself read what cannot be read in one exact operation."""
    cdef char copied[TEXT_NUMBER_MAX + 1]
    cdef Py_ssize_t k
    if size > TEXT_NUMBER_MAX:
        return 0
    for k in range(size):
        copied[k] = start[k]
    copied[size] = 0
    # Without an exception to raise it answers infinity where a number is too large, and callers refuse that.
    out[0] = PyOS_string_to_double(copied, NULL, NULL)
    if out[0] < 0.0:  # there was no memory for it
        PyErr_Clear()
        return 0
    return 1


cdef inline int text_number(Cursor* c, double* out) noexcept:
    """A decimal number that is not negative, written as text: the very double that ``float`` makes of it."""
    cdef const char* start
    cdef uint64_t mantissa = 0
    cdef int significant = 0, exponent = 0, told_exponent = 0, exponent_digits = 0, is_negative = 0
    if not expect(c, c'"'):
        return 0
    start = c.at
    if not is_digit(c):
        return 0
    while is_digit(c):
        if significant or c.at[0] != c"0":
            significant += 1
        if significant <= 18:
            mantissa = mantissa * 10 + <uint64_t>(c.at[0] - c"0")
        c.at += 1
    if c.at < c.end and c.at[0] == c".":
        c.at += 1
        if not is_digit(c):
            return 0
        while is_digit(c):
            if significant or c.at[0] != c"0":
                significant += 1
            if significant <= 18:
                mantissa = mantissa * 10 + <uint64_t>(c.at[0] - c"0")
                exponent -= 1
            c.at += 1
    if c.at < c.end and (c.at[0] == c"e" or c.at[0] == c"E"):
        c.at += 1
        if c.at < c.end and (c.at[0] == c"+" or c.at[0] == c"-"):
            is_negative = c.at[0] == c"-"
            c.at += 1
        while is_digit(c):
            exponent_digits += 1
            if exponent_digits > 4:
                return 0
            told_exponent = told_exponent * 10 + (c.at[0] - c"0")
            c.at += 1
        if exponent_digits == 0:
            return 0
        exponent += -told_exponent if is_negative else told_exponent
    if c.at >= c.end or c.at[0] != c'"':
        return 0
    c.at += 1
    if significant <= 18 and mantissa <= FRAMES_EXACT_MAX and -22 <= exponent <= 22:
        if exponent < 0:
            out[0] = <double>mantissa / frames_power10[-exponent]
        else:
            out[0] = <double>mantissa * frames_power10[exponent]
        return 1
    return _rounded(start, c.at - 1 - start, out)


cdef inline int literal(Cursor* c, const char* wanted, Py_ssize_t size) noexcept:
    cdef Py_ssize_t k
    skip_space(c)
    if c.end - c.at < size:
        return 0
    for k in range(size):
        if c.at[k] != wanted[k]:
            return 0
    c.at += size
    return 1


cdef inline int truth(Cursor* c, int* out) noexcept:
    out[0] = peek(c) == c"t"
    return literal(c, b"true", 4) if out[0] else literal(c, b"false", 5)


cdef inline int _skip_number(Cursor* c) noexcept:
    cdef const char* start = c.at
    if c.at[0] == c"-":
        c.at += 1
    if not is_digit(c):
        return 0
    if c.at[0] == c"0":
        c.at += 1
    else:
        while is_digit(c):
            c.at += 1
    if c.at < c.end and c.at[0] == c".":
        c.at += 1
        if not is_digit(c):
            return 0
        while is_digit(c):
            c.at += 1
    # What follows a number is a comma or an end, which whoever goes on looks for: an exponent is refused there.
    return c.at - start <= SKIPPED_NUMBER_MAX


cdef inline int _skip_scalar(Cursor* c) noexcept:
    cdef Text ignored
    cdef char byte = peek(c)
    if byte == c'"':
        return text(c, &ignored)
    if byte == c"t":
        return literal(c, b"true", 4)
    if byte == c"f":
        return literal(c, b"false", 5)
    if byte == c"n":
        return literal(c, b"null", 4)
    if byte == c"-" or c"0" <= byte <= c"9":
        return _skip_number(c)
    return 0


cdef inline int skip(Cursor* c) noexcept:
    """Any value, read to its end."""
    cdef char closing[NESTING_MAX]
    cdef int depth = 0, is_last = 0, opened
    cdef char byte
    cdef Text ignored
    while True:
        # A value begins here.
        byte = peek(c)
        opened = byte == c"{" or byte == c"["
        if opened:
            if depth == NESTING_MAX:
                return 0
            c.at += 1
            closing[depth] = c"}" if byte == c"{" else c"]"
            depth += 1
            if peek(c) == closing[depth - 1]:
                c.at += 1
                depth -= 1
                opened = 0
        elif not _skip_scalar(c):
            return 0
        # A value has ended, unless a list or an object was opened that holds one.
        while not opened and depth > 0:
            if not more(c, closing[depth - 1], &is_last):
                return 0
            if not is_last:
                break
            depth -= 1
        if depth == 0:
            return 1
        if closing[depth - 1] == c"}" and not key(c, &ignored):
            return 0
