//! Host names are resolved so that a process may fork at any time.
//!
//! While glibc's `getaddrinfo` reads the interfaces of the machine it holds a lock. A child forked in that moment gets a
//! lock that nobody will release, and each of its own look-ups would wait for ever. So a fork waits for look-ups, and
//! look-ups wait for a fork.

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Once;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libc::addrinfo;
use rdkafka::bindings as sys;
use rdkafka::config::NativeClientConfig;

/// Most that a fork waits: a look-up may wait for a name server for seconds, mostly without the lock.
const PATIENCE: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_micros(100);

static IS_FORKING: AtomicBool = AtomicBool::new(false);
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

type Resolve = extern "C" fn(*const c_char, *const c_char, *const addrinfo, *mut *mut addrinfo, *mut c_void) -> c_int;

// The bindings of rdkafka leave this function out (rdkafka.h, `rd_kafka_conf_set_resolve_cb`).
extern "C" {
    fn rd_kafka_conf_set_resolve_cb(conf: *mut sys::rd_kafka_conf_t, resolve: Resolve);
}

/// Makes librdkafka resolve names by this file.
pub(super) fn install(config: &NativeClientConfig) {
    let_forks_wait();
    // SAFETY: the configuration is alive; `resolve` lives as long as the process.
    unsafe { rd_kafka_conf_set_resolve_cb(config.ptr(), resolve) };
}

fn let_forks_wait() {
    static ONCE: Once = Once::new();
    // SAFETY: the three functions only touch the statics above, and sleep.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child));
    });
}

/// Called by librdkafka: with a host to resolve, and without one to give the addresses back.
extern "C" fn resolve(
    host: *const c_char,
    port: *const c_char,
    hints: *const addrinfo,
    addresses: *mut *mut addrinfo,
    _: *mut c_void,
) -> c_int {
    if host.is_null() {
        // SAFETY: librdkafka hands back what `getaddrinfo` made, once.
        unsafe { libc::freeaddrinfo(*addresses) };
        return 0;
    }
    begin();
    // SAFETY: the arguments are librdkafka's for `getaddrinfo`, passed on as they are.
    let code = unsafe { libc::getaddrinfo(host, port, hints, addresses) };
    UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
    code
}

fn begin() {
    loop {
        UNDER_WAY.fetch_add(1, Ordering::SeqCst);
        if !IS_FORKING.load(Ordering::SeqCst) {
            return;
        }
        UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
        sleep(PAUSE);
    }
}

extern "C" fn before_fork() {
    IS_FORKING.store(true, Ordering::SeqCst);
    let began = Instant::now();
    while UNDER_WAY.load(Ordering::SeqCst) > 0 && began.elapsed() < PATIENCE {
        sleep(PAUSE);
    }
}

extern "C" fn after_fork_in_parent() {
    IS_FORKING.store(false, Ordering::SeqCst);
}

extern "C" fn after_fork_in_child() {
    // The threads whose look-ups were under way are the parent's.
    UNDER_WAY.store(0, Ordering::SeqCst);
    IS_FORKING.store(false, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ptr, thread};

    fn look_up() -> c_int {
        // SAFETY: all zeros are valid hints.
        let mut hints: addrinfo = unsafe { std::mem::zeroed() };
        hints.ai_flags = libc::AI_ADDRCONFIG;
        let mut addresses = ptr::null_mut();
        let code =
            resolve(c"127.0.0.1".as_ptr(), c"9092".as_ptr(), &raw const hints, &raw mut addresses, ptr::null_mut());
        resolve(ptr::null(), ptr::null(), ptr::null(), &raw mut addresses, ptr::null_mut());
        code
    }

    /// The exit status of a child that looks one address up, or `None` when a signal ended it.
    fn child() -> Option<i32> {
        // SAFETY: the child calls nothing but the function under test, `alarm` and `_exit`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: as above.
            unsafe {
                libc::alarm(2);
                libc::_exit(look_up());
            }
        }
        let mut status = 0;
        // SAFETY: the child is ours and is waited for once.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
    }

    #[test]
    fn a_child_that_is_forked_during_look_ups_can_look_up_as_well() {
        let_forks_wait();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) {
                        look_up();
                    }
                });
            }
            let failed = (0..100).map(|_| child()).find(|status| *status != Some(0));
            is_over.store(true, Ordering::SeqCst);
            assert_eq!(failed, None, "the look-up of a child failed, or never ended");
        });
    }
}
