namespace Penstock.Specs.Nvme;

/// <summary>CAP, what the controller can do (NVM Express base specification 1.4, section 3.1.1).</summary>
/// <param name="Value">The register as it is read and written.</param>
public readonly record struct NvmeCapabilities(ulong Value)
{
    /// <summary>Most entries of an I/O queue, 1 to 65536 (MQES plus one).</summary>
    public int MaxQueueEntries
    {
        get => (int)(Value & 0xfffful) + 1;
        init => Value = (Value & ~0xfffful) | (((ulong)(value - 1) & 0xfffful));
    }

    /// <summary>Queues must be contiguous in memory (CQR).</summary>
    public bool ContiguousQueuesRequired
    {
        get => (Value & (1ul << 16)) != 0;
        init => Value = value ? Value | (1ul << 16) : Value & ~(1ul << 16);
    }

    /// <summary>Arbitration beside round robin (AMS); 0 for none.</summary>
    public uint ArbitrationMechanisms
    {
        get => (uint)((Value >> 17) & 0x3ul);
        init => Value = (Value & ~(0x3ul << 17)) | (((ulong)value & 0x3ul) << 17);
    }

    /// <summary>Longest time until ready in units of 500 ms (TO).</summary>
    public uint Timeout
    {
        get => (uint)((Value >> 24) & 0xfful);
        init => Value = (Value & ~(0xfful << 24)) | (((ulong)value & 0xfful) << 24);
    }

    /// <summary>Doorbells are 4 shifted left by this many bytes apart (DSTRD).</summary>
    public int DoorbellStride
    {
        get => (int)((Value >> 32) & 0xful);
        init => Value = (Value & ~(0xful << 32)) | (((ulong)value & 0xful) << 32);
    }

    /// <summary>NSSR is there (NSSRS).</summary>
    public bool SubsystemReset
    {
        get => (Value & (1ul << 36)) != 0;
        init => Value = value ? Value | (1ul << 36) : Value & ~(1ul << 36);
    }

    /// <summary>The NVM command set is there (bit 0 of CSS).</summary>
    public bool NvmCommandSet
    {
        get => (Value & (1ul << 37)) != 0;
        init => Value = value ? Value | (1ul << 37) : Value & ~(1ul << 37);
    }

    /// <summary>I/O command sets can be chosen among (bit 6 of CSS).</summary>
    public bool CommandSets
    {
        get => (Value & (1ul << 43)) != 0;
        init => Value = value ? Value | (1ul << 43) : Value & ~(1ul << 43);
    }

    /// <summary>There may be no I/O command set (bit 7 of CSS).</summary>
    public bool AdminOnly
    {
        get => (Value & (1ul << 44)) != 0;
        init => Value = value ? Value | (1ul << 44) : Value & ~(1ul << 44);
    }

    /// <summary>Smallest page is 4096 shifted left by this (MPSMIN).</summary>
    public int MinimumPageShift
    {
        get => (int)((Value >> 48) & 0xful);
        init => Value = (Value & ~(0xful << 48)) | (((ulong)value & 0xful) << 48);
    }

    /// <summary>Largest page is 4096 shifted left by this (MPSMAX).</summary>
    public int MaximumPageShift
    {
        get => (int)((Value >> 52) & 0xful);
        init => Value = (Value & ~(0xful << 52)) | (((ulong)value & 0xful) << 52);
    }

    /// <summary>There is a controller memory buffer (CMBS).</summary>
    public bool MemoryBuffer
    {
        get => (Value & (1ul << 57)) != 0;
        init => Value = value ? Value | (1ul << 57) : Value & ~(1ul << 57);
    }
}
