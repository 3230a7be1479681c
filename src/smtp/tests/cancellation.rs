//! A delivery that is dropped closes its session: no reply of the server is taken for the answer to another mail.

use super::server::{Peer, Server, MESSAGE};
use crate::smtp::{Envelope, Failure, Pool, Reply};
use serde_json::json;
use std::cell::RefCell;
use std::future::{poll_fn, Future};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::task::{spawn_local, LocalSet};

/// The recipients that each connection named, in the order of the connections.
type Connections = Rc<RefCell<Vec<Vec<String>>>>;

/// A server that says each byte by itself, and in the enhanced code of each last reply whose mail it is.
async fn serve(server: Server, connections: Connections) {
    loop {
        let peer = server.accept().await;
        let index = connections.borrow().len();
        connections.borrow_mut().push(Vec::new());
        spawn_local(converse(peer, connections.clone(), index));
    }
}

async fn converse(mut peer: Peer, connections: Connections, index: usize) -> Option<()> {
    let mut number = String::new();
    say(&mut peer, "220 ready").await?;
    loop {
        let command = peer.next().await?;
        match command.split([' ', ':']).next()? {
            "EHLO" => say(&mut peer, "250-mail.example\r\n250 PIPELINING").await?,
            "RCPT" => {
                number = command.trim_start_matches("RCPT TO:<").split('@').next()?.to_owned();
                connections.borrow_mut()[index].push(number.clone());
                say(&mut peer, "250 ok").await?;
            }
            "DATA" => {
                say(&mut peer, "354 go").await?;
                peer.message().await?;
                say(&mut peer, &format!("250 2.0.{number} taken")).await?;
            }
            _ => say(&mut peer, "250 ok").await?,
        }
    }
}

async fn say(peer: &mut Peer, line: &str) -> Option<()> {
    for byte in line.bytes().chain(*b"\r\n") {
        peer.try_send(&[byte]).await?;
        tokio::task::yield_now().await;
    }
    Some(())
}

async fn deliver(pool: &Pool, number: u16) -> Result<Reply, Failure> {
    let recipient = format!("{number}@mail.example");
    pool.deliver(Envelope { sender: "noreply@shop.example", recipient: &recipient }, MESSAGE).await
}

/// Delivers a mail, but drops the delivery when it was polled `polls` times.
async fn deliver_for(pool: &Pool, number: u16, mut polls: usize) -> Option<Result<Reply, Failure>> {
    let mut delivery = pin!(deliver(pool, number));
    poll_fn(|cx| match delivery.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending if polls == 0 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Drops a delivery after each number of polls, until one is through. `is_first` says whether it opens the connection.
async fn drop_everywhere(is_first: bool) -> usize {
    for polls in 0.. {
        let server = Server::start().await;
        let pool = server.pool(&json!({}));
        let connections = Connections::default();
        let serving = spawn_local(serve(server, connections.clone()));
        if !is_first {
            assert_eq!(deliver(&pool, 1).await, Ok(Reply::new(250, Some((2, 0, 1)))));
        }
        let dropped = deliver_for(&pool, 2, polls).await;
        let open = usize::from(dropped.is_some());
        assert_eq!(pool.connections(), open, "a dropped delivery left its connection open");
        for number in 3..5 {
            assert_eq!(deliver(&pool, number).await, Ok(Reply::new(250, Some((2, 0, number)))));
        }
        serving.abort();
        for recipients in connections.borrow().iter().filter(|_| dropped.is_none()) {
            if let Some(at) = recipients.iter().position(|number| number == "2") {
                assert_eq!(at + 1, recipients.len(), "a dropped session was used again");
            }
        }
        if let Some(outcome) = dropped {
            assert_eq!(outcome, Ok(Reply::new(250, Some((2, 0, 2)))));
            return polls;
        }
    }
    unreachable!()
}

#[tokio::test]
async fn a_delivery_may_be_dropped_at_any_await() {
    // It takes at least as many polls as the server has bytes to say.
    let bytes = "250 ok".len() * 2 + "354 go".len() + "250 2.0.2 taken".len();
    LocalSet::new()
        .run_until(async {
            assert!(drop_everywhere(true).await > bytes);
            assert!(drop_everywhere(false).await > bytes);
        })
        .await;
}
