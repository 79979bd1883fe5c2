package ovs

// PacketFamily and FlowFamily are the numbers of ovs_packet and ovs_flow now,
// for who writes many requests to a socket of their own. They change when the
// module is loaded anew, which takes every datapath with it.
func (c *Client) PacketFamily() uint16 { return c.fams().packet.ID }

// FlowFamily is described at PacketFamily.
func (c *Client) FlowFamily() uint16 { return c.fams().flow.ID }
