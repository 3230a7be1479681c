//! What each stage of an event costs in the Rust half, without a broker and without Python: `cargo bench --bench stages`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{criterion_group, criterion_main, Criterion};
use rdkafka::config::ClientConfig;

use _core::email::{address, EmailEvent, EmailType, EventIds, Timestamp};
use _core::stages::{Client, EmbeddedBroker, Header, OwnedRecord, Record};

const RECIPIENT: &str = "anna.berg+news@mail.example.org";
const ID: &[u8] = b"017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
const HEADERS: &[Header<'static>] = &[
    ("ce_specversion", b"1.0"),
    ("ce_id", ID),
    ("ce_type", b"verification"),
    ("ce_source", b"kafka-email"),
    ("content-type", b"application/json"),
];
/// Records between two looks at the delivery reports.
const MANY: u32 = 1000;

fn event() -> EmailEvent<'static> {
    EmailEvent {
        email_type: EmailType::Verification.as_str(),
        recipient: RECIPIENT,
        username: "Anna Berg",
        link: "https://shop.example.com/verify?token=abcdefghijklmnop0123456789",
        timestamp: Timestamp::now(),
    }
}

fn encode(event: &EmailEvent<'_>, out: &mut Vec<u8>) {
    out.clear();
    let written: Result<(), ()> = event.write_json(out, |out| {
        out.extend_from_slice(b"{}");
        Ok(())
    });
    black_box(written).unwrap_or_default();
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    group.bench_function("validation of an address", |bencher| {
        bencher.iter(|| address::is_certainly_valid(black_box(RECIPIENT)));
    });
    group.bench_function("encoding", |bencher| {
        let (event, mut out) = (event(), Vec::new());
        bencher.iter(|| encode(black_box(&event), &mut out));
    });
    group.bench_function("the time", |bencher| bencher.iter(Timestamp::now));
    if let Ok(ids) = EventIds::new() {
        group.bench_function("an id, as text", |bencher| bencher.iter(|| ids.next(Timestamp::now()).to_string()));
    }
}

fn queueing(criterion: &mut Criterion) {
    let mut payload = Vec::new();
    encode(&event(), &mut payload);
    let record = Record { topic: "emails", key: RECIPIENT.as_bytes(), payload: &payload, headers: HEADERS };
    let mut group = criterion.benchmark_group("queue");
    group.bench_function("a copy for the backlog", |bencher| bencher.iter(|| OwnedRecord::from(black_box(&record))));
    if let Some(client) = client(&record) {
        group.bench_function("librdkafka, with five headers", |bencher| {
            bencher.iter_custom(|rounds| timed(&client, &record, rounds));
        });
        let bare = Record { headers: &[], ..record };
        group.bench_function("librdkafka, without headers", |bencher| {
            bencher.iter_custom(|rounds| timed(&client, &bare, rounds));
        });
    }
}

/// A client that knows the topic of the record, and whose broker is gone.
fn client(record: &Record<'_>) -> Option<Client> {
    let broker = EmbeddedBroker::start(1).ok()?;
    let client =
        Client::create(ClientConfig::new().set("bootstrap.servers", broker.bootstrap_servers()), || ()).ok()?;
    client.produce(record, 0).ok()?;
    (!client.look_topics_up(Duration::from_secs(5))).then_some(client)
}

/// Time for so many records; taking them out of the queue again does not count.
fn timed(client: &Client, record: &Record<'_>, rounds: u64) -> Duration {
    let (mut left, mut elapsed) = (rounds, Duration::ZERO);
    while left > 0 {
        let some = left.min(u64::from(MANY));
        let began = Instant::now();
        for _ in 0..some {
            let _ = black_box(client.produce(record, 0));
        }
        elapsed += began.elapsed();
        left -= some;
        client.purge();
        while client.outstanding() > 0 {
            client.poll(Duration::from_millis(10));
        }
    }
    elapsed
}

criterion_group!(stages, encoding, queueing);
criterion_main!(stages);
