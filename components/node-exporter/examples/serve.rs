//! The exporter alone, for measuring it beside upstream's: `serve [flags]`.

use node_exporter::flags::{self, Invocation};
use node_exporter::{BuildInfo, run};

fn main() {
    let config = match flags::parse(std::env::args().skip(1), BuildInfo::default()) {
        Ok(Invocation::Run(config)) => *config,
        Ok(Invocation::Print(text)) => {
            print!("{text}");
            return;
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads.max(1))
        .enable_all()
        .build();
    let outcome = runtime.map(|runtime| {
        runtime.block_on(async {
            let (_trigger, shutdown) = net::shutdown::channel();
            run(config, net::clock::system_clock(), shutdown).await
        })
    });
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
        Err(error) => {
            eprintln!("start the runtime: {error}");
            std::process::exit(1);
        }
    }
}
