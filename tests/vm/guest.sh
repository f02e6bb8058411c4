#!/bin/sh
# /init of the virtual machine: runs the tests, tells the host over the serial console, switches the machine off.
#
# Lines the host reads (run_vm.py):  @@pass NAME   @@fail NAME REASON   @@begin FILE … @@end FILE   @@done
export PATH=/usr/sbin:/bin
/bin/busybox mkdir -p /proc /sys /dev /tmp /run/sluice /var/lib/sluice /var/log/sluice /www
/bin/busybox --install -s /bin

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs trace /sys/kernel/tracing
mount -t tmpfs tmp /tmp
exec </dev/null
for module in /modules/*.ko; do insmod "$module" || echo "insmod $module failed"; done
dmesg -n 1 # the console belongs to the results from here on
ip link set lo up
echo "@@kernel $(uname -r)"

check() { # NAME COMMAND…: one case; what the command said last is the reason if it fails
    name=$1
    shift
    if "$@" >/tmp/said 2>&1; then
        echo "@@pass $name"
    else
        cat /tmp/said
        echo "@@fail $name $* said: $(tail -n 3 /tmp/said | tr '\n' ' ')"
    fi
}

eventually() { # SECONDS COMMAND…
    end=$(($(date +%s) + $1))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt $end ] || return 1
        sleep 1
    done
}

# --- the packet program, packet by packet ---------------------------------------------------------------------------

filter=$(cat /bpf_filter)
# An emulated machine is slow; what differs between kernels shows early.
SLUICE_REPLAY_PACKETS=200000 /bin/bpf_tests --gtest_filter="$filter" --gtest_output=xml:/tmp/bpf.xml 2>&1
echo "@@exit bpf_tests $?"
echo "@@begin bpf.xml"
cat /tmp/bpf.xml
echo "@@end bpf.xml"

# --- the daemon on two drivers, on one of them beside another program -----------------------------------------------

# veth: a client in a namespace of its own. virtio_net: eth0, whose other end is the host's emulated network at 10.0.2.2.
ip netns add client
ip link add veth0 type veth peer name veth1 netns client
ip addr add 192.0.2.1/24 dev veth0
ip link set veth0 up
ip -n client addr add 192.0.2.2/24 dev veth1
ip -n client addr add 192.0.2.66/24 dev veth1
ip -n client link set veth1 up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
echo "hello from the application" >/www/index.html
httpd -p 127.0.0.1:8000 -h /www

client() { ip netns exec client "$@"; }
reaches() { ping -c 1 -W 2 "$@"; }
is_cut_off() { ! "$@"; }
attached() { sluicectl xdp show | tee /dev/stderr | grep -Eq "^$1 +native +dispatcher +yes"; }
nothing_attached() { ! sluicectl xdp show | tee /dev/stderr | grep -Eq "^(veth0|eth0) "; }
program_on() { xdp-loader status "$1" | tee /dev/stderr | grep -q "$2"; }
asks_the_gateway() { client curl -sS -m 20 http://192.0.2.1:8080/index.html | tee /dev/stderr | grep -q hello; }
up() { sluicectl status; }
runs_before() {
    xdp-loader status "$1" | tee /dev/stderr | grep -E "$2|$3" | head -n 1 | grep -q "$2"
}
answers_syns() { sluicectl status | tee /dev/stderr | grep -Eq "^cookies +answering"; }
syns_were_answered() { sluicectl status | tee /dev/stderr | grep -q syn_cookie; }

check before.veth_reaches client ping -c 1 -W 2 192.0.2.1
check before.virtio_reaches reaches 10.0.2.2
check other_program.loads xdp-loader load -m native veth0 "$OTHER_PROGRAM"
check other_program.runs program_on veth0 "$OTHER_PROGRAM_NAME"

sluiced --config /sluiced.yaml >/tmp/sluiced.log 2>&1 &
daemon=$!
check daemon.starts eventually 60 up
check daemon.veth_native_by_dispatcher attached veth0
check daemon.virtio_native_by_dispatcher attached eth0
check daemon.beside_the_other_program program_on veth0 "$OTHER_PROGRAM_NAME"
check daemon.runs_before_the_other_program runs_before veth0 sluice_xdp "$OTHER_PROGRAM_NAME"
check daemon.packets_pass_on_veth client ping -c 1 -W 2 192.0.2.1
check daemon.packets_pass_on_virtio reaches 10.0.2.2
check daemon.answers_syns answers_syns
for request in first second third; do
    check daemon.requests_reach_the_application.$request asks_the_gateway
done
check daemon.connections_were_made_by_cookie syns_were_answered
check deny.drops_on_veth is_cut_off client ping -c 1 -W 2 -I 192.0.2.66 192.0.2.1

check ban.is_placed_on_veth sluicectl ban add 192.0.2.2 --for 10m --reason test
check ban.drops_on_veth is_cut_off client ping -c 1 -W 2 -I 192.0.2.2 192.0.2.1
check ban.is_lifted sluicectl ban lift 192.0.2.2
check ban.lifted_passes client ping -c 1 -W 2 -I 192.0.2.2 192.0.2.1
check ban.is_placed_on_virtio sluicectl ban add 10.0.2.2 --for 10m --reason test
check ban.drops_on_virtio is_cut_off reaches 10.0.2.2

kill -9 $daemon
wait $daemon
check killed.still_drops_on_veth is_cut_off client ping -c 1 -W 2 -I 192.0.2.66 192.0.2.1
check killed.still_drops_on_virtio is_cut_off reaches 10.0.2.2
check killed.still_passes client ping -c 1 -W 2 -I 192.0.2.2 192.0.2.1
check detach.works_without_the_daemon sluicectl xdp detach
check detach.leaves_nothing nothing_attached
check detach.leaves_the_other_program program_on veth0 "$OTHER_PROGRAM_NAME"
check detach.veth_passes client ping -c 1 -W 2 -I 192.0.2.66 192.0.2.1
check detach.virtio_passes reaches 10.0.2.2

echo "--- the daemon's output:"
tail -n 40 /tmp/sluiced.log
dmesg | grep -Ei "BUG|Oops|Call Trace|WARNING" | tail -n 10
echo "@@done"
poweroff -f
