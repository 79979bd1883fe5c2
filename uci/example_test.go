package uci_test

import (
	"fmt"
	"log"

	"netbraid/uci"
)

// A configuration is edited; the comments stay.
func ExampleDocument() {
	text := "# my router\n\nconfig interface 'lan'\n\toption proto static # for now\n\tlist dns '192.0.2.1'\n"
	d, err := uci.ParseDocument("network", []byte(text), uci.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := d.Set("lan", "proto", "dhcp"); err != nil {
		log.Fatal(err)
	}
	if err := d.AddList("lan", "dns", "2001:db8::1"); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", d.Bytes())
	// Output:
	// # my router
	//
	// config interface 'lan'
	// 	option proto 'dhcp' # for now
	// 	list dns '192.0.2.1'
	// 	list dns '2001:db8::1'
}

// A syntax error says where it is.
func ExampleParse() {
	_, err := uci.Parse("network", []byte("config interface lan\n\toption proto static eth0\n"), uci.Options{})
	fmt.Println(err)
	// Output: uci: Parse error (too many arguments) at line 2, byte 26
}
