namespace Penstock.Specs.Nvme;

/// <summary>The PCI face of a controller (NVM Express base specification 1.4, section 2.1).</summary>
public static class NvmePci
{
    /// <summary>Base class: mass storage.</summary>
    public const byte BaseClass = 0x01;

    /// <summary>Subclass: non-volatile memory.</summary>
    public const byte Subclass = 0x08;

    /// <summary>Programming interface: NVM Express I/O controller.</summary>
    public const byte ProgrammingInterface = 0x02;

    /// <summary>The three of them.</summary>
    public const uint ClassCode = 0x010802;

    /// <summary>The BAR that holds registers and doorbells.</summary>
    public const int RegistersBar = 0;

    /// <summary>Smallest size of that BAR in bytes: registers and one page of doorbells, rounded up to a power of two.</summary>
    public const ulong SmallestBar = 0x4000;
}
