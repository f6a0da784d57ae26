using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>One record of a fault queue (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuHwptPageFault
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 40;

    /// <summary>Flags.</summary>
    public IommuFaultFlags Flags;

    /// <summary>The device.</summary>
    public uint DeviceId;

    /// <summary>The PASID, if valid.</summary>
    public uint Pasid;

    /// <summary>Group of faults, which is answered as one.</summary>
    public uint GroupId;

    /// <summary>What was wanted.</summary>
    public IommuFaultPermissions Permissions;

    /// <summary>0.</summary>
    public uint Reserved;

    /// <summary>The address.</summary>
    public ulong Address;

    /// <summary>Hint: how many bytes are wanted.</summary>
    public uint Wanted;

    /// <summary>Names the group in the answer.</summary>
    public uint Cookie;
}
