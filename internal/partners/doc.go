// Package partners runs protocol scripts as OpenWrt's are written against real
// partners: udhcpc against dnsmasq, pppd against pppoe-server, tunnels between
// two kernels. The scripts are run as they are, by the daemon, in namespaces of
// their own.
//
// What lives here: the scripts, their partners, and one test for each thing that
// users of netifd ask for which takes a partner to show. What must not:
// behaviour that needs no partner (the stories and package capture have it).
package partners
