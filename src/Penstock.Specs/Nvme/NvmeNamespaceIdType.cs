namespace Penstock.Specs.Nvme;

/// <summary>Namespace identification descriptors: type, length, two bytes of zero, value (NVM Express base specification 1.4, figure 249).</summary>
public enum NvmeNamespaceIdType : byte
{
    /// <summary>End of the list.</summary>
    None = 0,

    /// <summary>EUI-64, 8 bytes.</summary>
    Eui64 = 1,

    /// <summary>NGUID, 16 bytes.</summary>
    Nguid = 2,

    /// <summary>UUID, 16 bytes.</summary>
    Uuid = 3,

    /// <summary>Command set identifier, 1 byte.</summary>
    CommandSet = 4,
}
