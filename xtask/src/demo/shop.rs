//! The demo's server: Debian's Tomcat 10 with a base directory of our own and the application of examples/shop in it.

use crate::{
    jdk,
    process::{Background, bound},
    workspace,
};
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

/// Debian's Tomcat.
const CATALINA_HOME: &str = "/usr/share/tomcat10";

/// Requests before the recording, so that the compiler has done its work: the demo is about load, not about warming up.
const WARM_UP_REQUESTS: usize = 3000;

/// The running server, killed on drop.
pub struct Shop {
    process: Background,
    port: u16,
}

impl Shop {
    /// What to call it.
    pub fn name(&self) -> String {
        format!("Tomcat (pid {}, port {})", self.process.pid(), self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The address of a page of the shop.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{}", self.address(), page(path))
    }

    /// Its host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// An error if it has ended by itself.
    pub fn still_runs(&mut self) -> Result<()> {
        self.process.still_runs()
    }
}

/// Where a page of the shop is on its server.
pub fn page(path: &str) -> String {
    format!("/shop{path}")
}

/// Compiles and deploys the shop, starts Tomcat and waits until it answers.
pub fn start(java_home: &Path, dir: &Path) -> Result<Shop> {
    start_with(java_home, dir, &[])
}

/// As [`start`], with further arguments for the JVM.
pub fn start_with(java_home: &Path, dir: &Path, jvm_arguments: &[String]) -> Result<Shop> {
    let base = dir.join("tomcat");
    deploy(&base)?;
    let port = free_port()?;
    let log = File::create(base.join("logs/tomcat.log"))?;
    let mut java = bound(&java_home.join("bin/java").to_string_lossy());
    java.args(["-Xms128m", "-Xmx128m", "-Djava.awt.headless=true"])
        .args(jvm_arguments)
        .arg(format!("-Dcatalina.home={CATALINA_HOME}"))
        .arg(format!("-Dcatalina.base={}", base.display()))
        .arg(format!("-Djava.io.tmpdir={}", base.join("temp").display()))
        .arg(format!("-Dshop.port={port}"))
        .args([
            "-cp",
            &format!("{CATALINA_HOME}/bin/bootstrap.jar:{CATALINA_HOME}/bin/tomcat-juli.jar"),
        ])
        .args(["org.apache.catalina.startup.Bootstrap", "start"])
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut shop = Shop {
        process: Background::start("Tomcat", &mut java)?,
        port,
    };
    wait_until_it_answers(&mut shop).with_context(|| format!("see {}", base.join("logs/tomcat.log").display()))?;
    for _ in 0..WARM_UP_REQUESTS {
        get(port, "/shop/order?rounds=1000")?;
    }
    Ok(shop)
}

/// A Tomcat base directory: configuration, and the shop compiled into webapps/.
fn deploy(base: &Path) -> Result<()> {
    for sub in ["conf", "logs", "temp", "work", "webapps/shop/WEB-INF/classes"] {
        fs::create_dir_all(base.join(sub))?;
    }
    let source = workspace::root().join("examples/shop");
    fs::copy(source.join("conf/server.xml"), base.join("conf/server.xml"))?;
    let defaults = Path::new(CATALINA_HOME).join("etc/web.xml");
    let web_xml = if defaults.exists() {
        defaults
    } else {
        source.join("web/WEB-INF/web.xml")
    };
    fs::copy(&web_xml, base.join("conf/web.xml")).with_context(|| format!("cannot copy {}", web_xml.display()))?;
    fs::copy(
        source.join("web/WEB-INF/web.xml"),
        base.join("webapps/shop/WEB-INF/web.xml"),
    )?;
    let sources = workspace::files_below(&source.join("src"), ".java")?;
    let api = Path::new(CATALINA_HOME).join("lib/servlet-api.jar");
    jdk::compile(&sources, Some(&api), &base.join("webapps/shop/WEB-INF/classes"))
}

/// A port that nobody listens on now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))
        .context("cannot bind a port on the loopback interface")?
        .local_addr()?
        .port())
}

fn wait_until_it_answers(shop: &mut Shop) -> Result<()> {
    let patience = Duration::from_secs(60);
    let began = Instant::now();
    while began.elapsed() < patience {
        shop.still_runs()?;
        if get(shop.port, "/shop/order?rounds=1").is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("Tomcat did not answer within {} s", patience.as_secs())
}

/// One request; an error unless the answer is 200.
fn get(port: u16, path: &str) -> Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        bail!("{path} answered: {}", answer.lines().next().unwrap_or("nothing"))
    }
}
