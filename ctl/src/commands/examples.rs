//! Examples in the help texts; a test parses each.

/// Each command's, by its name.
pub const EXAMPLES: [(&str, &str); 27] = [
    (
        "run",
        "Examples:
  ctl run configs/minimal.yaml
  ctl run configs/benchmark-demo.yaml --set seed=7 --slots 2
  ctl run nightly.yaml --key 'line3-{yesterday:%Y-%m-%d}'    the same night is done once",
    ),
    (
        "predict",
        "Examples:
  ctl predict cells ./new-images                             the newest version of a trained model
  ctl predict cells@3 's3://line3/2026-11-*/**/*.png' --to s3://results/line3
  ctl predict model.onnx list.csv --set max_error_rows=5%
  ctl predict cells archive.tar --skip last                  only what the last job has not scored",
    ),
    (
        "hpo",
        "Example:
  ctl hpo --model padim --sweep_config sweep.yaml --backend wandb",
    ),
    (
        "submit",
        "Examples:
  ctl submit benchmark.yaml
  ctl submit benchmark.yaml --wait
  ctl submit benchmark.yaml --coordinator https://nightshift.example:7070 --token-file ~/.nightshift-token",
    ),
    (
        "plan",
        "Example:
  ctl plan configs/benchmark-demo.yaml -o json",
    ),
    (
        "get",
        "Examples:
  ctl get jobs -w                                            until Ctrl-C
  ctl get jobs -o wide
  ctl get tasks last -o csv > tasks.csv
  ctl get jobs -o name | head -1
  ctl get dead",
    ),
    (
        "describe",
        "Examples:
  ctl describe last
  ctl describe abcd1234-0007
  ctl describe model cells@2",
    ),
    (
        "results",
        "Examples:
  ctl results last
  ctl results last --as latex > table.tex
  ctl results abcd1234 --compare efgh5678
  ctl results last --top 20",
    ),
    (
        "report",
        "Example:
  ctl report last --to report.html",
    ),
    (
        "diff",
        "Example:
  ctl diff abcd1234 efgh5678 --pictures 0",
    ),
    (
        "export",
        "Examples:
  ctl export cells --engine openvino --fp16
  ctl export cells@2 --engine onnx --to exported",
    ),
    (
        "verify",
        "Examples:
  ctl verify last
  ctl verify s3://results/jobs/abcd1234                      without a coordinator",
    ),
    (
        "wait",
        "Examples:
  ctl wait last
  ctl wait abcd1234 efgh5678 --timeout 8h && ctl report abcd1234",
    ),
    (
        "retry",
        "Example:
  ctl retry last --wait",
    ),
    (
        "rethreshold",
        "Examples:
  ctl rethreshold last --fpr 0.01 --wait
  ctl rethreshold last --manual 17.5 --pixel 12",
    ),
    (
        "delete",
        "Examples:
  ctl delete abcd1234
  ctl delete $(ctl get jobs -o name | tail -n +51)           all but the newest 50",
    ),
    (
        "completions",
        "Examples:
  ctl completions bash > ~/.local/share/bash-completion/completions/ctl
  ctl completions zsh > \"${fpath[1]}/_ctl\"
  ctl completions fish > ~/.config/fish/completions/ctl.fish",
    ),
    (
        "validate",
        "Example:
  ctl validate job.yaml --set data.init_args.root=/data",
    ),
    (
        "import",
        "Example:
  ctl import anomalib config.yaml --to job.yaml",
    ),
    (
        "logs",
        "Examples:
  ctl logs last -f
  ctl logs abcd1234-0007",
    ),
    (
        "render",
        "Example:
  ctl render last --top 20 --to pictures",
    ),
    (
        "cancel",
        "Example:
  ctl cancel last",
    ),
    (
        "token",
        "Examples:
  ctl token new ann
  ctl token new box --role worker",
    ),
    (
        "doctor",
        "Example:
  ctl doctor -o json",
    ),
    (
        "weights",
        "Examples:
  ctl weights import mobilenet_v2.pth --backbone mobilenet_v2 --licence MIT
  ctl weights check",
    ),
    (
        "worker",
        "Example:
  ctl worker release box",
    ),
    (
        "bench",
        "Example:
  ctl bench dispatch --tasks 10000",
    ),
];

/// Of this command.
pub fn of(command: &str) -> &'static str {
    let own = EXAMPLES.iter().find(|(name, _)| *name == command);
    own.map_or("", |(_, text)| text)
}
