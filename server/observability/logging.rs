//! Logs: one JSON object per line, or coloured text on a terminal.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, atomic};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Where logs go and which.
#[derive(Clone, Debug, Default)]
pub struct LogSettings {
    /// `log.level`: none, trace, debug, info, warn, error or fatal, in any case.
    pub level: String,
    /// `log.file`: append here instead; `None` writes to the terminal or to standard error.
    pub file: Option<PathBuf>,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be written.
    #[error("open log file {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The writer thread could not be started.
    #[error("start the log writer")]
    Writer(#[source] io::Error),
    /// Another subscriber is installed already.
    #[error("logging is set up already")]
    Installed,
}

/// Lines that wait for the disk or the terminal; more are dropped and counted, so that a slow
/// reader of logs never slows the server.
const QUEUED_LINES: usize = 1024;

/// Sets logging up for the whole process. Dropping the guard writes what is queued.
///
/// An unknown level means `info` and a warning, as upstream does it.
///
/// # Errors
/// See [`LogError`]; all of them end the start.
pub fn init(settings: &LogSettings) -> Result<LogGuard, LogError> {
    let level = parse_level(&settings.level);
    let (target, style) = open(settings.file.as_deref())?;
    let (layer, guard) = layer(target, style).map_err(LogError::Writer)?;
    tracing_subscriber::registry()
        .with(layer.with_filter(filter(level.unwrap_or(LevelFilter::INFO))))
        .try_init()
        .map_err(|_| LogError::Installed)?;
    if level.is_none() {
        tracing::warn!("unknown log level {:?}, using info", settings.level);
    }
    Ok(guard)
}

fn parse_level(text: &str) -> Option<LevelFilter> {
    Some(match text.to_ascii_lowercase().as_str() {
        // What ends the process is told by main, whatever the level.
        "none" | "fatal" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" | "" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return None,
    })
}

/// Libraries below us speak up from `warn` on; at `trace` their debug output helps too.
fn filter(level: LevelFilter) -> Targets {
    let others = match level {
        LevelFilter::TRACE => LevelFilter::DEBUG,
        other => other.min(LevelFilter::WARN),
    };
    Targets::new().with_target("gyre", level).with_default(others)
}

fn open(file: Option<&Path>) -> Result<(Box<dyn Write + Send>, Style), LogError> {
    if let Some(path) = file {
        let file: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| LogError::Open { path: path.to_owned(), source })?;
        return Ok((Box::new(file), Style::Json));
    }
    if io::stdout().is_terminal() {
        return Ok((Box::new(io::stdout()), Style::Terminal));
    }
    Ok((Box::new(io::stderr()), Style::Json))
}

fn layer(target: Box<dyn Write + Send>, style: Style) -> io::Result<(LogLayer, LogGuard)> {
    let (lines, queue) = sync_channel(QUEUED_LINES);
    let dropped = Arc::new(atomic::AtomicU64::new(0));
    let writer = {
        let dropped = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&queue, target, style, &dropped))?
    };
    let guard = LogGuard { lines: lines.clone(), writer: Some(writer) };
    Ok((LogLayer { lines, style, dropped }, guard))
}

/// Keeps the writer alive. Dropping it writes what is queued and stops.
#[derive(Debug)]
pub struct LogGuard {
    lines: SyncSender<Line>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take()
            && self.lines.send(Line::End).is_ok()
        {
            let _ = writer.join();
        }
    }
}

#[derive(Debug)]
enum Line {
    Text(String),
    End,
}

fn write_lines(
    queue: &Receiver<Line>,
    mut target: Box<dyn Write + Send>,
    style: Style,
    dropped: &atomic::AtomicU64,
) {
    while let Ok(Line::Text(line)) = queue.recv() {
        // There is nowhere to tell that the log cannot be written.
        let _ = target.write_all(line.as_bytes());
        let lost = dropped.swap(0, atomic::Ordering::Relaxed);
        if lost > 0 {
            let entry = Entry {
                fields: vec![("dropped", lost.to_string())],
                message: "log lines dropped".to_owned(),
            };
            let _ = target.write_all(style.format(Level::WARN, &entry, unix_seconds()).as_bytes());
        }
    }
    let _ = target.flush();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Json,
    Terminal,
}

#[derive(Debug)]
struct LogLayer {
    lines: SyncSender<Line>,
    style: Style,
    dropped: Arc<atomic::AtomicU64>,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        let line = self.style.format(*event.metadata().level(), &entry, unix_seconds());
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Line::Text(line)) {
            self.dropped.fetch_add(1, atomic::Ordering::Relaxed);
        }
    }
}

/// What an event carries; values are JSON texts.
#[derive(Debug, Default)]
struct Entry {
    fields: Vec<(&'static str, String)>,
    message: String,
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        self.text(field, &text);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), value.to_string()));
    }
}

impl Entry {
    fn text(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            // Marks of libraries that bring the `log` crate's records.
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, json(value))),
        }
    }
}

impl Style {
    fn format(self, level: Level, entry: &Entry, unix: u64) -> String {
        let mut line = String::with_capacity(128);
        match self {
            Self::Json => {
                let _ = write!(line, "{{\"level\":\"{}\"", level_name(level));
                for (name, value) in &entry.fields {
                    let _ = write!(line, ",\"{name}\":{value}");
                }
                let time = timestamp(unix, 'T', "Z");
                let _ = writeln!(line, ",\"time\":\"{time}\",\"message\":{}}}", json(&entry.message));
            }
            Self::Terminal => {
                let (colour, short) = match level {
                    Level::ERROR => (31, "ERR"),
                    Level::WARN => (33, "WRN"),
                    Level::INFO => (32, "INF"),
                    Level::DEBUG => (36, "DBG"),
                    Level::TRACE => (35, "TRC"),
                };
                let time = timestamp(unix, ' ', "");
                let _ = write!(line, "\x1b[90m{time}\x1b[0m \x1b[{colour}m{short}\x1b[0m ");
                // Control characters of peers must not reach the terminal.
                line.extend(entry.message.chars().flat_map(|character| {
                    let escape = character.is_control();
                    let plain = (!escape).then_some(character);
                    escape.then(|| character.escape_default()).into_iter().flatten().chain(plain)
                }));
                for (name, value) in &entry.fields {
                    let _ = write!(line, " \x1b[36m{name}=\x1b[0m{value}");
                }
                line.push('\n');
            }
        }
        line
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Log lines carry the calendar time of the machine, also in tests with a virtual clock.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Writes seconds since 1970 as a calendar date in UTC.
fn timestamp(unix: u64, separator: char, zone: &str) -> String {
    let (days, second_of_day) = (unix / 86_400, unix % 86_400);
    // The days are counted from 1 March of year 0, so that a leap day ends its year; an era is 400 years.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(style: Style, level: LevelFilter, act: impl FnOnce()) -> String {
        let sink = Sink::default();
        let (layer, guard) = layer(Box::new(sink.clone()), style).expect("a thread");
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter(level)));
        tracing::subscriber::with_default(subscriber, act);
        drop(guard);
        let bytes = sink.0.lock().clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn lines_are_json_objects_with_upstreams_keys() {
        let text = logged(Style::Json, LevelFilter::INFO, || {
            tracing::info!(port = 8000, name = "a\"b", insecure = true, "serving {}", "api");
            tracing::debug!("hidden");
            tracing::warn!(target: "h2", "a library");
            tracing::info!(target: "h2", "hidden too");
        });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["level"], "info");
        assert_eq!(lines[0]["port"], 8000);
        assert_eq!(lines[0]["name"], "a\"b");
        assert_eq!(lines[0]["insecure"], true);
        assert_eq!(lines[0]["message"], "serving api");
        assert!(lines[0]["time"].as_str().is_some_and(|time| time.ends_with('Z')));
        assert_eq!(lines[1]["level"], "warn");
    }

    #[test]
    fn errors_are_told_with_their_causes() {
        let error = LogError::Open { path: "x".into(), source: io::Error::other("full") };
        let text = logged(Style::Json, LevelFilter::INFO, || {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot log");
        });
        assert!(text.contains(r#""error":"open log file x: full""#), "{text}");
    }

    #[test]
    fn terminals_see_no_control_characters_of_peers() {
        let text = logged(Style::Terminal, LevelFilter::INFO, || {
            tracing::info!(origin = "\x1b[2J", "bad \x1b[2J");
        });
        assert!(!text.contains("\x1b[2J"), "{text:?}");
        assert!(text.contains("bad \\u{1b}[2J"), "{text:?}");
    }

    #[test]
    fn timestamps_are_calendar_dates() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(unix, 'T', "Z"), text);
        }
    }

    #[test]
    fn levels_are_upstreams() {
        assert_eq!(parse_level("WARN"), Some(LevelFilter::WARN));
        assert_eq!(parse_level("none"), Some(LevelFilter::OFF));
        assert_eq!(parse_level("loud"), None);
    }
}
