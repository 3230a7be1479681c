//! Calls of Python code, which the interpreter may end in the middle of.
//!
//! A daemon thread that waits for the GIL when the interpreter ends never gets it. `CPython` before 3.14 ends such a thread
//! by `pthread_exit`, which on glibc unwinds its stack, and Rust aborts the process when that reaches the border to
//! Python. So the thread sleeps for ever here, as it does in `CPython` 3.14, and as `PyO3` lets it where Rust itself waits
//! for the GIL.

use std::hint::black_box;
use std::{mem, thread};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Puts the thread to sleep for ever when its stack is unwound, unless a panic does that.
struct SleepForEver;

impl Drop for SleepForEver {
    fn drop(&mut self) {
        while !thread::panicking() {
            thread::park();
        }
    }
}

/// Calls Python code; in a daemon thread that does not return if the interpreter ends meanwhile.
pub(super) fn call<'py>(
    function: &Bound<'py, PyAny>,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error: Into<PyErr>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = arguments.into_pyobject(function.py()).map_err(Into::into)?;
    let sleeper = SleepForEver;
    // The compiler takes it that functions of C never unwind. If it saw what is called here, it would leave out the drop.
    let result = black_box(call_unguarded as fn(_, _, _) -> _)(function, &arguments, keywords);
    mem::forget(sleeper);
    result
}

/// It owns nothing: an unwinding passes through such a function, and aborts in one that has something to drop.
fn call_unguarded<'py>(
    function: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    function.call(arguments, keywords)
}
