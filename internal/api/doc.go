// Package api gives the ubus objects that OpenWrt's netifd has (network,
// network.device, network.interface and one for each interface), and
// netbraid's own. Answers come from snapshots of the core; what nobody needs
// to remember (statistics, link modes) is read when it is asked for. Nothing
// here decides how the network is to be.
package api
