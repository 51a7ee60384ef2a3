//! nginx in front of a server, with connections to it that all clients share.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_DEADLINE: Duration = Duration::from_secs(20);

/// A process that ends with this value.
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Nginx {
    /// Starts it before the server at `upstream`; none, said aloud, when it is not installed.
    pub fn before(upstream: SocketAddr) -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("has an address");
        drop(listener);
        let directory = tempfile::tempdir().expect("a directory");
        let here = directory.path().display();
        let config = format!(
            "daemon off; master_process off; pid {here}/pid; error_log /dev/null;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/f;
                uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;
                upstream server {{ server {upstream}; keepalive 1; }}
                server {{
                    listen {address};
                    location / {{
                        proxy_pass http://server;
                        proxy_http_version 1.1;
                        proxy_set_header Connection \"\";
                        proxy_request_buffering off; proxy_ignore_client_abort on;
                    }}
                }}
            }}"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, config).expect("is written");
        let program = ["/usr/sbin/nginx", "nginx"];
        let started = program.iter().find_map(|program| {
            let mut command = Command::new(program);
            command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().ok()
        });
        let Some(child) = started else {
            eprintln!("SKIPPED: nginx is not installed");
            return None;
        };
        let nginx = Self { child, address, _directory: directory };
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(nginx)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
