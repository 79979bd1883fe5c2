package vpp

import (
	"fmt"

	"netbraid/internal/dataplane"
)

// retval is what VPP answers when it did not do something: negative.
type retval int32

// The values that we look at (foreach_vnet_error of VPP's vnet/error.h).
const (
	invalidInterface   retval = -2
	noSuchFIB          retval = -3
	noSuchEntry        retval = -6
	invalidValue       retval = -7
	netnsUnknown       retval = -12 // of a pair: its namespace could not be opened
	hostNameTaken      retval = -13 // of a pair: its tap could not be made
	featureDisabled    retval = -30
	invalidRegister    retval = -31
	noMatchInterface   retval = -54
	vlanExists         retval = -56
	lengthMismatch     retval = -59
	addressNotFound    retval = -60
	invalidArgument    retval = -73
	valueExists        retval = -81
	invalidSub         retval = -98
	addressInUse       retval = -105
	addressOnInterface retval = -114
	unsupported        retval = -126
	duplicateAddress   retval = -127
	again              retval = -165
)

// retvals has VPP's names, and what they mean.
var retvals = map[retval]string{
	-1: "UNSPECIFIED", -2: "INVALID_SW_IF_INDEX: no such interface", -3: "NO_SUCH_FIB: no such table", -4: "NO_SUCH_INNER_FIB",
	-5: "NO_SUCH_LABEL", -6: "NO_SUCH_ENTRY", -7: "INVALID_VALUE", -8: "INVALID_VALUE_2", -9: "UNIMPLEMENTED", -10: "INVALID_SW_IF_INDEX_2",
	-11: "SYSCALL_ERROR_1", -12: "SYSCALL_ERROR_2", -13: "SYSCALL_ERROR_3", -14: "SYSCALL_ERROR_4", -15: "SYSCALL_ERROR_5",
	-16: "SYSCALL_ERROR_6", -17: "SYSCALL_ERROR_7", -18: "SYSCALL_ERROR_8", -19: "SYSCALL_ERROR_9", -20: "SYSCALL_ERROR_10",
	-30: "FEATURE_DISABLED", -31: "INVALID_REGISTRATION", -50: "NEXT_HOP_NOT_IN_FIB", -51: "UNKNOWN_DESTINATION",
	-52: "NO_PATHS_IN_ROUTE", -53: "NEXT_HOP_NOT_FOUND_MP", -54: "NO_MATCHING_INTERFACE: a path's interface is not there", -55: "INVALID_VLAN",
	-56: "VLAN_ALREADY_EXISTS", -57: "INVALID_SRC_ADDRESS", -58: "INVALID_DST_ADDRESS", -59: "ADDRESS_LENGTH_MISMATCH",
	-60: "ADDRESS_NOT_FOUND_FOR_INTERFACE", -61: "ADDRESS_NOT_DELETABLE", -62: "IP6_NOT_ENABLED", -65: "NO_SUCH_TABLE",
	-68: "SUBIF_ALREADY_EXISTS", -69: "SUBIF_CREATE_FAILED", -71: "INVALID_INTERFACE", -72: "INVALID_VLAN_TAG_COUNT", -73: "INVALID_ARGUMENT",
	-74: "UNEXPECTED_INTF_STATE", -79: "IF_ALREADY_EXISTS", -81: "VALUE_EXIST", -88: "IP_PREFIX_INVALID", -97: "INVALID_ADDRESS_FAMILY",
	-98: "INVALID_SUB_SW_IF_INDEX: not a sub-interface", -105: "ADDRESS_IN_USE", -106: "ADDRESS_NOT_IN_USE", -107: "QUEUE_FULL",
	-114: "ADDRESS_FOUND_FOR_INTERFACE: it has addresses", -116: "ENTRY_ALREADY_EXISTS", -126: "UNSUPPORTED", -127: "DUPLICATE_IF_ADDRESS",
	-145: "NETLINK_ERROR", -150: "INVALID_VALUE_3", -151: "NON_ETHERNET", -155: "RSRC_IN_USE", -157: "FIB_PATH_UNSUPPORTED_NH_PROTO",
	-160: "NO_CHANGE", -162: "LIMIT_EXCEEDED", -165: "EAGAIN", -167: "BUSY", -168: "BUG",
}

func (r retval) Error() string {
	if s := retvals[r]; s != "" {
		return fmt.Sprintf("VPP answers %d %s", int32(r), s)
	}
	return fmt.Sprintf("VPP answers %d", int32(r))
}

// Is sorts a retval among the errors that callers tell apart.
func (r retval) Is(target error) bool {
	switch target {
	case dataplane.ErrNoInterface:
		return r == invalidInterface || r == noMatchInterface
	case dataplane.ErrTaken:
		return r == addressInUse || r == duplicateAddress || r == vlanExists || r == valueExists || r == hostNameTaken
	case dataplane.ErrUnsupported:
		return r == -9
	case dataplane.ErrRefused:
		return !r.Is(dataplane.ErrNoInterface) && !r.Is(dataplane.ErrTaken) && !r.Is(dataplane.ErrUnsupported)
	}
	return false
}
