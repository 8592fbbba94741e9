//! Extism's ABI v1 from inside the sandbox: bytes in, bytes out. Its memory is not the
//! guest's: bytes are copied through loads and stores, eight at a time. See
//! <https://extism.org/docs/concepts/memory>.

use crate::error::{code, Error, Result};
use crate::json::Value;
use std::time::Duration;

/// What a connector asks for everything that is not its own. The sandbox has the real
/// one; unit tests bring theirs.
pub trait Host {
    /// Asks a function of `sdk/ABI.md`, or of the host app: JSON in, JSON out.
    fn call(&self, function: &Function, request: &str) -> String;
    /// Fills from the execution's random stream.
    fn random(&self, bytes: &mut [u8]);
    /// The time since 1970. It stands still between calls.
    fn now(&self) -> Duration;
}

/// A function that the host offers. Make one with [`host_function!`](crate::host_function).
pub struct Function {
    /// Its name.
    pub name: &'static str,
    #[doc(hidden)]
    #[cfg(target_arch = "wasm32")]
    pub ask: unsafe extern "C" fn(u64) -> u64,
}

/// Declares a function of the host app's own, by the name that is in the manifest's
/// functions: `cofferdam::host_function!(static PLAN_OF: "plan_of");`, then
/// `ctx.call(&PLAN_OF, json!({}))`.
#[macro_export]
macro_rules! host_function {
    ($(#[$doc:meta])* $visible:vis static $function:ident : $name:literal) => {
        $(#[$doc])*
        $visible static $function: $crate::Function = {
            #[cfg(target_arch = "wasm32")]
            #[link(wasm_import_module = "extism:host/user")]
            extern "C" {
                #[link_name = $name]
                fn ask(request: u64) -> u64;
            }
            $crate::Function {
                name: $name,
                #[cfg(target_arch = "wasm32")]
                ask,
            }
        };
    };
}

host_function!(pub(crate) static HTTP: "http");
host_function!(pub(crate) static STATE_GET: "state_get");
host_function!(pub(crate) static STATE_SET: "state_set");
host_function!(pub(crate) static STATE_DELETE: "state_delete");
host_function!(pub(crate) static STATE_CAS: "state_cas");
host_function!(pub(crate) static STATE_ADD: "state_add");
host_function!(pub(crate) static STATE_LIST: "state_list");
host_function!(pub(crate) static LOG: "log");
host_function!(pub(crate) static EMIT: "emit");
host_function!(pub(crate) static TAG: "tag");
host_function!(pub(crate) static SLEEP: "sleep");
host_function!(pub(crate) static SIGN: "sign");

/// Asks, and gives the result, or the host's error.
pub(crate) fn ask(host: &dyn Host, function: &Function, request: &Value) -> Result {
    let name = function.name;
    let answer = Value::parse(&host.call(function, &request.to_string()))
        .map_err(|e| Error::new(code::INTERNAL, format!("{name}: read the host's answer: {e}")))?;
    let error = &answer["error"];
    if error.is_null() {
        return Ok(answer["result"].clone());
    }
    let text = |member: &str| error[member].as_str().unwrap_or_default().to_string();
    let wait = error["retry_after_ms"].as_i64().unwrap_or_default().max(0) as u64;
    Err(Error::new(text("code"), format!("{name}: {}", text("message"))).retry_after(Duration::from_millis(wait)))
}

#[cfg(target_arch = "wasm32")]
pub use sandbox::{serve, warm_up};

#[cfg(target_arch = "wasm32")]
mod sandbox {
    use super::{Function, Host};
    use crate::connector::Connector;
    use crate::error::{code, Error};
    use std::cell::RefCell;
    use std::time::Duration;

    #[link(wasm_import_module = "extism:host/env")]
    extern "C" {
        fn input_length() -> u64;
        fn input_load_u64(offset: u64) -> u64;
        fn input_load_u8(offset: u64) -> u32;
        fn alloc(size: u64) -> u64;
        #[link_name = "free"]
        fn extism_free(offset: u64);
        fn length(offset: u64) -> u64;
        fn load_u64(offset: u64) -> u64;
        fn load_u8(offset: u64) -> u32;
        fn store_u64(offset: u64, value: u64);
        fn store_u8(offset: u64, value: u32);
        fn output_set(offset: u64, size: u64);
        fn error_set(offset: u64);
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    extern "C" {
        fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
        fn random_get(bytes: *mut u8, size: usize) -> u32;
        fn proc_exit(code: u32) -> !;
    }

    type Load8 = unsafe extern "C" fn(u64) -> u64;
    type Load1 = unsafe extern "C" fn(u64) -> u32;

    /// Copies a block of Extism's memory, or the input.
    fn load(offset: u64, size: u64, eight: Load8, one: Load1) -> Vec<u8> {
        let mut bytes = vec![0; size as usize];
        let whole = bytes.len() & !7;
        // SAFETY: These only read, and end the call where there is nothing to read.
        unsafe {
            for i in (0..whole).step_by(8) {
                bytes[i..i + 8].copy_from_slice(&eight(offset + i as u64).to_le_bytes());
            }
            for (i, byte) in bytes.iter_mut().enumerate().skip(whole) {
                *byte = one(offset + i as u64) as u8;
            }
        }
        bytes
    }

    fn store(bytes: &[u8]) -> u64 {
        // SAFETY: The block has this many bytes, and none of this is memory of Rust's.
        unsafe {
            let offset = alloc(bytes.len() as u64);
            let words = bytes.chunks_exact(8);
            let rest = words.remainder();
            for (i, word) in words.enumerate() {
                store_u64(offset + 8 * i as u64, u64::from_le_bytes(word.try_into().unwrap_or_default()));
            }
            for (i, byte) in rest.iter().enumerate() {
                store_u8(offset + (bytes.len() - rest.len() + i) as u64, u32::from(*byte));
            }
            offset
        }
    }

    /// The real Host.
    struct Sandbox;

    impl Host for Sandbox {
        fn call(&self, function: &Function, request: &str) -> String {
            // SAFETY: The function takes the offset of a block and gives that of another,
            // both of which are this function's to free.
            let answer = unsafe {
                let question = store(request.as_bytes());
                let answer = (function.ask)(question);
                extism_free(question);
                let bytes = load(answer, length(answer), load_u64, load_u8);
                extism_free(answer);
                bytes
            };
            text(answer)
        }

        fn random(&self, bytes: &mut [u8]) {
            // SAFETY: It writes this many bytes.
            let failed = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
            assert_eq!(failed, 0, "random_get failed");
        }

        fn now(&self) -> Duration {
            let mut time = 0;
            // SAFETY: It writes a u64.
            let failed = unsafe { clock_time_get(0, 1, &mut time) };
            assert_eq!(failed, 0, "clock_time_get failed");
            Duration::from_nanos(time)
        }
    }

    /// What is JSON is UTF-8; anything else will be found to be none.
    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    thread_local! {
        /// The program's connector, which warm_up leaves in the image that every call
        /// begins with.
        static CONNECTOR: RefCell<Option<Connector>> = const { RefCell::new(None) };
    }

    fn with_connector<T>(make: fn() -> Connector, f: impl FnOnce(&Connector) -> T) -> T {
        CONNECTOR.with(|c| f(c.borrow_mut().get_or_insert_with(make)))
    }

    /// Serves an export; 0 is success.
    pub fn serve(make: fn() -> Connector, export: &str) -> i32 {
        report_panics();
        // SAFETY: It gives a number.
        let size = unsafe { input_length() };
        let input = text(load(0, size, input_load_u64, input_load_u8));
        match with_connector(make, |c| c.call(&Sandbox, export, &input)) {
            // SAFETY: The block has this many bytes.
            Ok(output) => unsafe {
                output_set(store(output.as_bytes()), output.len() as u64);
                0
            },
            Err(e) => {
                raise(&e);
                1
            }
        }
    }

    fn raise(e: &Error) {
        // SAFETY: It takes a block.
        unsafe { error_set(store(e.to_json().to_string().as_bytes())) }
    }

    /// Makes the connector once for all calls.
    pub fn warm_up(make: fn() -> Connector) -> i32 {
        report_panics();
        with_connector(make, |_| 0)
    }

    /// A panic would be a trap without a word: with this it is an error that says where.
    fn report_panics() {
        std::panic::set_hook(Box::new(|info| {
            raise(&Error::new(code::PLUGIN_BUG, info.to_string()));
            // SAFETY: It does not return.
            unsafe { proc_exit(1) }
        }));
    }
}
