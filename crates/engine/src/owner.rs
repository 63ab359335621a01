//! Who works on a run, and whether they still live.
//!
//! A lease alone would keep the next start waiting after a crash. On the same
//! machine one can look: the owner is named by the machine's boot, the process
//! namespace, the process and the moment it started, so a process number that
//! was given out again is not mistaken for the owner.

use std::fs;

use kiln_core::Owner;

/// This process. Where the system does not tell enough, the identity is empty,
/// and only the lease decides.
pub(crate) fn this_process() -> Owner {
    let pid = std::process::id();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let identity = match (world(), started(pid)) {
        (Some(world), Some(started)) => format!("{world}/{pid}/{started}"),
        _ => String::new(),
    };
    Owner { host, pid, identity }
}

/// Whether the owner is known to be dead. False where that can't be seen from
/// here.
pub(crate) fn is_dead(owner: &Owner) -> bool {
    let Some((rest, born)) = owner.identity.rsplit_once('/') else { return false };
    let Some((world_then, pid)) = rest.rsplit_once('/') else { return false };
    let Ok(pid) = pid.parse() else { return false };
    world().is_some_and(|now| now == world_then) && started(pid).as_deref() != Some(born)
}

/// The machine since its last start, and the process namespace.
fn world() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.display()))
}

/// When a living process started, in clock ticks since boot: field 22 of
/// proc_pid_stat(5). A zombie does not live.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program's name, may hold blanks and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_a_reaped_one_does_not() {
        let me = this_process();
        assert!(!me.identity.is_empty());
        assert!(!is_dead(&me));

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let born = started(child.id()).unwrap();
        let owner = Owner { identity: format!("{}/{}/{born}", world().unwrap(), child.id()), ..me };
        assert!(!is_dead(&owner));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_dead(&owner));
    }

    #[test]
    fn the_owner_on_another_machine_is_not_judged() {
        for identity in ["", "x", "boot/pid:[1]/1/1"] {
            assert!(
                !is_dead(&Owner { identity: identity.into(), ..Owner::default() }),
                "{identity}"
            );
        }
    }

    #[test]
    fn a_process_number_given_out_again_is_not_the_owner() {
        let me = this_process();
        let (rest, _) = me.identity.rsplit_once('/').unwrap();
        assert!(is_dead(&Owner { identity: format!("{rest}/1"), ..me.clone() }));
    }
}
