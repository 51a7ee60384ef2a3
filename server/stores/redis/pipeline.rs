//! One connection that many ask at once: requests go out in the order they were made, in as few writes as
//! possible, and answers come back in that order.

use super::error::RedisError;
use super::resp::{Command, Decoder, Value};
use super::socket::{READ_SIZE, Socket, Transport};
use bytes::BytesMut;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, oneshot};

/// Requests that may wait for their answer on one connection.
const MOST_WAITING: usize = 1 << 18;

/// Bytes that may wait to be written to one connection.
const MOST_UNWRITTEN: usize = 64 << 20;

/// Parts the I/O timeout is measured in.
const TICKS: u32 = 8;

/// An answer that is on its way.
pub(super) type Reply = oneshot::Receiver<Result<Value, RedisError>>;

/// The near end of a connection. Dropping it does not end the connection; its driver does.
#[derive(Clone)]
pub(super) struct Pipeline {
    shared: Arc<Shared>,
}

struct Shared {
    place: Arc<str>,
    /// Held for copying a command, or for taking what waits; never across an await.
    queue: Mutex<Queue>,
    /// Tells the writer that there is something to write.
    wake: Notify,
}

#[derive(Default)]
struct Queue {
    /// Commands to write, oldest first.
    unwritten: Vec<u8>,
    /// Who waits for answers, written or not, oldest first.
    waiting: VecDeque<Waiting>,
    /// Why the connection ended.
    ended: Option<RedisError>,
    /// Time as the driver counts it.
    tick: u32,
}

struct Waiting {
    since: u32,
    /// None for what the connection itself asked.
    reply: Option<oneshot::Sender<Result<Value, RedisError>>>,
}

impl Pipeline {
    /// Takes over a connection; the driver must be run for anything to happen, and its end is the connection's.
    pub(super) fn new(
        socket: Socket,
        io_timeout: Duration,
    ) -> (Self, impl Future<Output = RedisError> + Send) {
        let Socket { stream, buffer, decoder, address, .. } = socket;
        let shared =
            Arc::new(Shared { place: address.as_str().into(), queue: Mutex::default(), wake: Notify::new() });
        let driver = drive(shared.clone(), stream, buffer, decoder, io_timeout);
        (Self { shared }, driver)
    }

    /// Queues commands that no other may come between; the answer is that to the last.
    ///
    /// # Errors
    /// `Overloaded` or, when the connection has ended, `Unreachable`: nothing was sent.
    pub(super) fn send(&self, commands: &[&Command]) -> Result<Reply, RedisError> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.shared.queue.lock();
        if let Some(error) = &queue.ended {
            return Err(RedisError::unreachable(&self.shared.place, error));
        }
        if queue.waiting.len() >= MOST_WAITING || queue.unwritten.len() >= MOST_UNWRITTEN {
            return Err(RedisError::Overloaded { place: self.shared.place.clone() });
        }
        let since = queue.tick;
        let mut sender = Some(sender);
        for (at, command) in commands.iter().enumerate() {
            queue.unwritten.extend_from_slice(command.bytes());
            let reply = if at + 1 == commands.len() { sender.take() } else { None };
            queue.waiting.push_back(Waiting { since, reply });
        }
        drop(queue);
        self.shared.wake.notify_one();
        Ok(receiver)
    }

    /// Why the connection ended, for answers that will not come.
    pub(super) fn end(&self) -> RedisError {
        let queue = self.shared.queue.lock();
        queue.ended.clone().unwrap_or_else(|| RedisError::lost(&self.shared.place, "dropped"))
    }

    /// Ends the connection for everyone: it leads to the wrong server.
    pub(super) fn close(&self, reason: &str) {
        self.shared.end(RedisError::lost(&self.shared.place, reason));
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn end(&self, error: RedisError) {
        let waiting = {
            let mut queue = self.queue.lock();
            if queue.ended.is_some() {
                return;
            }
            queue.ended = Some(error.clone());
            queue.unwritten = Vec::new();
            std::mem::take(&mut queue.waiting)
        };
        for waiting in waiting {
            if let Some(reply) = waiting.reply {
                let _ = reply.send(Err(error.clone()));
            }
        }
    }
}

/// Ends the connection when its driver is dropped.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(RedisError::lost(&self.0.place, "given up"));
    }
}

async fn drive(
    shared: Arc<Shared>,
    stream: Box<dyn Transport>,
    buffer: BytesMut,
    decoder: Decoder,
    io_timeout: Duration,
) -> RedisError {
    let _end = EndOnDrop(shared.clone());
    let (read, write) = tokio::io::split(stream);
    let error = tokio::select! {
        error = write_all(&shared, write) => error,
        error = read_all(&shared, read, buffer, decoder) => error,
        error = watch(&shared, io_timeout) => error,
    };
    shared.end(error.clone());
    error
}

async fn write_all(shared: &Shared, mut write: WriteHalf<Box<dyn Transport>>) -> RedisError {
    let mut batch = Vec::new();
    loop {
        batch.clear();
        {
            let mut queue = shared.queue.lock();
            if let Some(error) = &queue.ended {
                return error.clone();
            }
            std::mem::swap(&mut queue.unwritten, &mut batch);
        }
        if batch.is_empty() {
            shared.wake.notified().await;
            // Whoever else is ready to ask gets into the same write.
            tokio::task::yield_now().await;
            continue;
        }
        let written = async {
            write.write_all(&batch).await?;
            write.flush().await
        };
        if let Err(error) = written.await {
            return RedisError::lost(&shared.place, error);
        }
        if batch.capacity() > MOST_UNWRITTEN / 16 {
            batch = Vec::new();
        }
    }
}

async fn read_all(
    shared: &Shared,
    mut read: ReadHalf<Box<dyn Transport>>,
    mut buffer: BytesMut,
    mut decoder: Decoder,
) -> RedisError {
    let mut answers = Vec::new();
    let mut askers = Vec::new();
    loop {
        buffer.reserve(READ_SIZE);
        match read.read_buf(&mut buffer).await {
            Ok(0) => return RedisError::lost(&shared.place, "closed by the server"),
            Ok(_) => {}
            Err(error) => return RedisError::lost(&shared.place, error),
        }
        loop {
            match decoder.next(&mut buffer) {
                // Nothing is subscribed here, so what was not asked for concerns nobody.
                Ok(Some(Value::Push(_))) => {}
                Ok(Some(value)) => answers.push(value),
                Ok(None) => break,
                Err(error) => return RedisError::lost(&shared.place, error),
            }
        }
        {
            let mut queue = shared.queue.lock();
            let ready = answers.len().min(queue.waiting.len());
            askers.extend(queue.waiting.drain(..ready).map(|waiting| waiting.reply));
        }
        for (answer, asker) in answers.drain(..).zip(askers.drain(..)) {
            if let Some(asker) = asker {
                // Whoever asked may have gone.
                let _ = asker.send(Ok(answer));
            }
        }
    }
}

/// Counts time, notices answers that do not come, and asks something when nobody else does.
async fn watch(shared: &Shared, io_timeout: Duration) -> RedisError {
    let ping = Command::new([&b"PING"[..]]);
    let mut interval = tokio::time::interval((io_timeout / TICKS).max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let mut queue = shared.queue.lock();
        queue.tick = queue.tick.wrapping_add(1);
        let now = queue.tick;
        match queue.waiting.front() {
            Some(oldest) if now.wrapping_sub(oldest.since) > TICKS => {
                return RedisError::lost(&shared.place, format!("no answer within {io_timeout:?}"));
            }
            Some(_) => {}
            None => {
                queue.unwritten.extend_from_slice(ping.bytes());
                queue.waiting.push_back(Waiting { since: now, reply: None });
                drop(queue);
                shared.wake.notify_one();
            }
        }
    }
}
