# Part of _compiled.pyx: where levels are kept, and how they are read from what Python gives.

@cython.final
cdef class Store:
    # Prices, then sizes, in one piece of memory. A view keeps it alive when the ladder has moved to a larger one.
    cdef double *data
    cdef Py_ssize_t room
    cdef Py_ssize_t shape
    cdef object floats

    def __cinit__(self, Py_ssize_t room):
        self.data = <double *>PyMem_Malloc(2 * room * sizeof(double))
        if self.data == NULL:
            raise MemoryError
        self.room = room
        self.shape = 2 * room
        self.floats = None

    def __dealloc__(self):
        PyMem_Free(self.data)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        # Bytes and no more: numpy is told what they are. It asks for writable ones first.
        if flags & PyBUF_WRITABLE:
            raise BufferError("a book is changed through its methods only")
        buffer.buf = self.data
        buffer.obj = self
        buffer.len = self.shape * <Py_ssize_t>sizeof(double)
        buffer.readonly = 1
        buffer.itemsize = 1
        buffer.format = NULL
        buffer.ndim = 1
        buffer.shape = NULL
        buffer.strides = NULL
        buffer.suboffsets = NULL
        buffer.internal = NULL


cdef struct Batch:
    # Levels that were read and checked, in the order in which they came.
    double *prices
    double *sizes
    Py_ssize_t count
    Py_ssize_t room

cdef Batch _bids_read, _asks_read
_bids_read.prices = _bids_read.sizes = _asks_read.prices = _asks_read.sizes = NULL
_bids_read.room = _asks_read.room = _bids_read.count = _asks_read.count = 0


cdef int make_room(Batch *batch, Py_ssize_t count) except -1:
    cdef double *grown
    if count <= batch.room:
        return 0
    count += count // 2 + 64
    grown = <double *>PyMem_Realloc(batch.prices, count * sizeof(double))
    if grown == NULL:
        raise MemoryError
    batch.prices = grown
    grown = <double *>PyMem_Realloc(batch.sizes, count * sizeof(double))
    if grown == NULL:
        raise MemoryError
    batch.sizes = grown
    batch.room = count
    return 0


# Reading levels as Python gives them


cdef bint number_of(PyObject *value, double *number):
    # Only what has one plain meaning; everything else is the reference's to judge.
    cdef const char *text
    cdef char *end
    cdef Py_ssize_t size
    if PyFloat_Check(<object>value):
        number[0] = PyFloat_AS_DOUBLE(<object>value)
        return True
    try:
        if PyUnicode_CheckExact(<object>value):
            text = PyUnicode_AsUTF8AndSize(<object>value, &size)
            number[0] = PyOS_string_to_double(text, &end, NULL)
            return end == text + size
        if PyLong_CheckExact(<object>value):
            number[0] = PyLong_AsDouble(<object>value)
            return True
    except (ValueError, OverflowError):
        return False
    return False


cdef bint read_plainly(object levels, Batch *batch) except -1:
    # False if anything is other than lists of two numbers that can be a level.
    cdef Py_ssize_t at, count
    cdef bint in_list = PyList_Check(levels)
    cdef PyObject *pair
    cdef PyObject *first
    cdef PyObject *second
    cdef double price, size
    if not in_list and not PyTuple_Check(levels):
        return False
    count = PyList_GET_SIZE(levels) if in_list else PyTuple_GET_SIZE(levels)
    make_room(batch, count)
    for at in range(count):
        pair = <PyObject *>PyList_GET_ITEM(levels, at) if in_list else <PyObject *>PyTuple_GET_ITEM(levels, at)
        if PyList_Check(<object>pair):
            if PyList_GET_SIZE(<object>pair) != 2:
                return False
            first = <PyObject *>PyList_GET_ITEM(<object>pair, 0)
            second = <PyObject *>PyList_GET_ITEM(<object>pair, 1)
        elif PyTuple_Check(<object>pair):
            if PyTuple_GET_SIZE(<object>pair) != 2:
                return False
            first = <PyObject *>PyTuple_GET_ITEM(<object>pair, 0)
            second = <PyObject *>PyTuple_GET_ITEM(<object>pair, 1)
        else:
            return False
        if not number_of(first, &price) or not number_of(second, &size):
            return False
        if not (0.0 < price <= LARGEST and 0.0 <= size <= LARGEST):
            return False
        batch.prices[at] = price
        batch.sizes[at] = size
    batch.count = count
    return True


cdef bint read_array(object levels, Batch *batch) except -1:
    # An (n, 2) array of doubles; False if it is another, or holds what cannot be a level.
    cdef Py_buffer view
    cdef const char *row
    cdef Py_ssize_t at
    cdef double price, size
    cdef bint read = False
    PyObject_GetBuffer(levels, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    try:
        if view.ndim == 2 and view.shape[1] == 2 and view.format != NULL and strcmp(view.format, "d") == 0:
            make_room(batch, view.shape[0])
            row = <const char *>view.buf
            read = True
            for at in range(view.shape[0]):
                price = (<const double *>row)[0]
                size = (<const double *>(row + view.strides[1]))[0]
                if not (0.0 < price <= LARGEST and 0.0 <= size <= LARGEST):
                    read = False
                    break
                batch.prices[at] = price
                batch.sizes[at] = size
                row += view.strides[0]
            batch.count = view.shape[0]
    finally:
        PyBuffer_Release(&view)
    return read


cdef int read_levels(object levels, Batch *batch, str name, str where) except -1:
    cdef Py_ssize_t at
    cdef double price, size
    if type(levels) is ndarray:
        if read_array(levels, batch):
            return 0
    elif read_plainly(levels, batch):
        return 0
    prices, sizes = _reference.parse_levels(levels, name, where)
    make_room(batch, len(prices))
    at = 0
    for price, size in zip(prices.tolist(), sizes.tolist()):
        batch.prices[at] = price
        batch.sizes[at] = size
        at += 1
    batch.count = at
    return 0
