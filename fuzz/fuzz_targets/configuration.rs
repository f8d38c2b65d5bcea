//! Any text as the program's own configuration: it is refused, or gives settings that can be written.

#![no_main]

use kube_audit_bootstrap::audit::flags;
use kube_audit_bootstrap::config::Config;
use kube_audit_bootstrap::wiring::kubeadm;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(config) = Config::parse(text, "config.yaml") else { return };
    assert_eq!(config.faults(), [], "a configuration with faults was taken");
    let flags = config.flags().into_iter().collect();
    assert_eq!(flags::faults(&flags, None), [], "the API server would refuse the flags");
    let settings = kubeadm::settings(&config, &Default::default());
    kube_audit_bootstrap::yaml::parse(&settings).expect("the settings are YAML");
});
