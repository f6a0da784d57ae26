using System.Runtime.InteropServices;

namespace Penstock.Specs.Zpci;

/// <summary>Version 3 of <see cref="ZpciInfoCapability.Base"/>, behind its header.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct ZpciBaseInfo
{
    /// <summary>First address of DMA.</summary>
    public ulong StartDma;

    /// <summary>Last address of DMA.</summary>
    public ulong EndDma;

    /// <summary>Physical channel id.</summary>
    public ushort PhysicalChannel;

    /// <summary>Number of the virtual function; 0 for none.</summary>
    public ushort VirtualFunction;

    /// <summary>Length of a measurement block in bytes.</summary>
    public ushort MeasurementLength;

    /// <summary>Type of the function.</summary>
    public byte FunctionType;

    /// <summary>Id of the function's group.</summary>
    public byte GroupId;

    /// <summary>The function's handle on the host.</summary>
    public uint Handle;

    /// <summary>Length of an error event in bytes.</summary>
    public uint ErrorLength;
}
