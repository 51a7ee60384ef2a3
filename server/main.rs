use gyre::config::Config;
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let path = std::env::args().skip_while(|a| a != "-c").nth(1).unwrap();
    let load = move || -> Result<Config, Box<dyn std::error::Error + Send + Sync>> { Ok(Config::load(Some(path.as_ref()), std::env::vars(), &[])?.config) };
    let config = load().unwrap();
    let _guard = gyre::observability::init_logging(&gyre::observability::LogSettings { level: config.log.level.clone(), file: None }).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Err(e) = runtime.block_on(gyre::app::run(config, None, load, |_| {})) { eprintln!("{e}: {:?}", e); std::process::exit(1); }
}
