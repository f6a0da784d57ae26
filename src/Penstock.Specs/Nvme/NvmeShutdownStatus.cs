namespace Penstock.Specs.Nvme;

/// <summary>CSTS.SHST (NVM Express base specification 1.4, section 3.1.6).</summary>
public enum NvmeShutdownStatus : byte
{
    /// <summary>At work; no shutdown was asked for.</summary>
    Normal = 0,

    /// <summary>Shutting down.</summary>
    Occurring = 1,

    /// <summary>Shut down; the power may go.</summary>
    Complete = 2,

    /// <summary>Reserved.</summary>
    Reserved = 3,
}
