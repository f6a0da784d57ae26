namespace Penstock.Specs.Nvme;

/// <summary>CC.SHN, what the host asks for (NVM Express base specification 1.4, section 3.1.5).</summary>
public enum NvmeShutdown : byte
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Shut down in order.</summary>
    Normal = 1,

    /// <summary>Shut down at once.</summary>
    Abrupt = 2,

    /// <summary>Reserved.</summary>
    Reserved = 3,
}
