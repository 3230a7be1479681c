//! librdkafka alone, without Python: the limit of what a client built on it can reach.
//!
//! Reads a job as JSON from standard input and prints one JSON line, like `worker.py`. One thread keeps a fixed number
//! of records outstanding: it tops librdkafka's queue up, then takes the delivery reports that have come.

#![allow(unsafe_code)] // librdkafka by its raw calls is what this measures

use std::error::Error;
use std::ffi::{c_void, CString};
use std::io::Read;
use std::time::{Duration, Instant};
use std::{env, fs, ptr};

use rdkafka::bindings as sys;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaType};
use serde::Deserialize;
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const POLL_MS: i32 = 100;
/// How long the first and the last delivery reports may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ticks of `/proc/self/stat` in a second, the same on every Linux that Python and Rust run on.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Deserialize)]
struct Job {
    properties: Vec<(String, String)>,
    topic: String,
    at_once: usize,
    warm_up_s: f64,
    window_s: f64,
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    key: String,
    value: String,
    event_type: String,
    source: String,
}

fn main() -> Result<()> {
    if env::args().any(|argument| argument == "--bench") {
        println!("run by `python -m benches`, which gives it a job");
        return Ok(());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let job: Job = serde_json::from_str(&text)?;
    println!("{}", measure(&job, &mut Producer::create(&job)?)?);
    Ok(())
}

fn measure(job: &Job, producer: &mut Producer) -> Result<serde_json::Value> {
    let mut records = job.records.iter().cycle();
    let mut run_for = |producer: &mut Producer, seconds: f64| -> Result<()> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        loop {
            while producer.outstanding < job.at_once {
                producer.produce(records.next().ok_or("no records in the job")?)?;
            }
            producer.settle();
            if Instant::now() >= end {
                return Ok(());
            }
        }
    };
    let deadline = Instant::now() + PATIENCE;
    while producer.stored == 0 && Instant::now() < deadline {
        run_for(producer, 0.0)?;
    }
    run_for(producer, job.warm_up_s)?;
    let (stored, cpu, began) = (producer.stored, cpu_seconds()?, Instant::now());
    run_for(producer, job.window_s)?;
    let (cpu, elapsed) = (cpu_seconds()? - cpu, began.elapsed());
    let completed = f64::from(u32::try_from(producer.stored - stored)?);
    let deadline = Instant::now() + PATIENCE;
    while producer.outstanding > 0 && Instant::now() < deadline {
        producer.settle();
    }
    Ok(json!({
        "per_second": completed / elapsed.as_secs_f64(),
        "cpu_per_100k": cpu / completed * 100_000.0,
        "peak_rss_mb": peak_rss_mb()?,
        "successes": producer.stored,
        "failures": producer.failed + producer.outstanding,
        "first_error": null,
    }))
}

/// A librdkafka producer, its topic and its counters.
struct Producer {
    // No destructors: the process ends with its only producer.
    topic: *mut sys::rd_kafka_topic_t,
    queue: *mut sys::rd_kafka_queue_t,
    client: Client<DefaultClientContext>,
    ids: Ids,
    outstanding: usize,
    stored: usize,
    failed: usize,
}

impl Producer {
    fn create(job: &Job) -> Result<Self> {
        let config: ClientConfig = job.properties.iter().cloned().collect();
        let native = config.create_native_config()?;
        // SAFETY: the configuration is alive, and used by this thread alone.
        unsafe { sys::rd_kafka_conf_set_events(native.ptr(), sys::RD_KAFKA_EVENT_DR) };
        let client = Client::new(&config, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext)?;
        let name = CString::new(job.topic.as_str())?;
        // SAFETY: the client is alive, the name ends with NUL, no topic configuration means the default one.
        let topic = unsafe { sys::rd_kafka_topic_new(client.native_ptr(), name.as_ptr(), ptr::null_mut()) };
        // SAFETY: the client is alive.
        let queue = unsafe { sys::rd_kafka_queue_get_main(client.native_ptr()) };
        if topic.is_null() || queue.is_null() {
            return Err("librdkafka gives no topic handle".into());
        }
        Ok(Self { topic, queue, client, ids: Ids(1), outstanding: 0, stored: 0, failed: 0 })
    }

    fn produce(&mut self, record: &Record) -> Result<()> {
        use sys::rd_kafka_vtype_t::{
            RD_KAFKA_VTYPE_END, RD_KAFKA_VTYPE_HEADERS, RD_KAFKA_VTYPE_KEY, RD_KAFKA_VTYPE_MSGFLAGS,
            RD_KAFKA_VTYPE_RKT, RD_KAFKA_VTYPE_VALUE,
        };
        let headers = headers(record, &self.ids.draw());
        // SAFETY: types and order of the arguments are those that rdkafka.h documents; librdkafka copies key and value
        // and takes the headers over.
        let code: Code = unsafe {
            sys::rd_kafka_producev(
                self.client.native_ptr(),
                RD_KAFKA_VTYPE_RKT,
                self.topic,
                RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                RD_KAFKA_VTYPE_VALUE,
                record.value.as_ptr().cast::<c_void>(),
                record.value.len(),
                RD_KAFKA_VTYPE_KEY,
                record.key.as_ptr().cast::<c_void>(),
                record.key.len(),
                RD_KAFKA_VTYPE_HEADERS,
                headers,
                RD_KAFKA_VTYPE_END,
            )
        }
        .into();
        if code != Code::NoError {
            return Err(format!("librdkafka refused a record: {code:?}").into());
        }
        self.outstanding += 1;
        Ok(())
    }

    /// Waits for delivery reports and counts them.
    fn settle(&mut self) {
        // SAFETY: the queue is alive; the event is destroyed once, below, and only read before.
        let event = unsafe { sys::rd_kafka_queue_poll(self.queue, POLL_MS) };
        if event.is_null() {
            return;
        }
        // SAFETY: the event is alive, and so are its messages.
        while let Some(message) = unsafe { sys::rd_kafka_event_message_next(event).as_ref() } {
            let stored = Code::from(message.err) == Code::NoError;
            *if stored { &mut self.stored } else { &mut self.failed } += 1;
            self.outstanding -= 1;
        }
        // SAFETY: destroyed once; nothing borrowed from it is left.
        unsafe { sys::rd_kafka_event_destroy(event) };
    }
}

/// The five headers of a kafka-email record.
fn headers(record: &Record, id: &[u8]) -> *mut sys::rd_kafka_headers_t {
    let headers = [
        ("ce_specversion", "1.0".as_bytes()),
        ("ce_id", id),
        ("ce_type", record.event_type.as_bytes()),
        ("ce_source", record.source.as_bytes()),
        ("content-type", b"application/json"),
    ];
    // SAFETY: allocates; freed by the message that takes it.
    let list = unsafe { sys::rd_kafka_headers_new(headers.len()) };
    for (name, value) in headers {
        let (name_size, size) = (name.len().cast_signed(), value.len().cast_signed());
        // SAFETY: librdkafka copies name and value, whose lengths are given.
        unsafe { sys::rd_kafka_header_add(list, name.as_ptr().cast(), name_size, value.as_ptr().cast(), size) };
    }
    list
}

/// Ids in the form of a UUID, random like those of kafka-email: constant ones would compress too well.
struct Ids(u64);

impl Ids {
    fn draw(&mut self) -> [u8; 36] {
        let mut text = *b"01980000-0000-7000-8000-000000000000";
        for place in text.iter_mut().skip(15).filter(|place| **place == b'0') {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let digit = (self.0 >> 32 & 15) as u8;
            *place = digit + if digit < 10 { b'0' } else { b'a' - 10 };
        }
        text
    }
}

/// User and system time of all threads so far.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may hold spaces; utime and stime are the 12th and 13th field behind it.
    let fields = stat.rsplit(") ").next().ok_or("no fields in /proc/self/stat")?;
    let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).map(str::parse).collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn peak_rss_mb() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}
