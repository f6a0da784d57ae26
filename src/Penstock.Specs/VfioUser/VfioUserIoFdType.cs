namespace Penstock.Specs.VfioUser;

/// <summary>What the descriptor of an entry of DEVICE_GET_REGION_IO_FDS is.</summary>
public enum VfioUserIoFdType : uint
{
    /// <summary>An eventfd that a write signals.</summary>
    Ioeventfd = 0,

    /// <summary>A socket that takes accesses as messages.</summary>
    Ioregionfd = 1,

    /// <summary>An eventfd, and memory that takes the value first; the C library's own.</summary>
    ShadowIoeventfd = 2,
}
