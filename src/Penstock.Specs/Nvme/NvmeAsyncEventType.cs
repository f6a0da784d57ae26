namespace Penstock.Specs.Nvme;

/// <summary>Type of an asynchronous event, bits 2 to 0 of the result (NVM Express base specification 1.4, section 5.2.1).</summary>
public enum NvmeAsyncEventType : byte
{
    /// <summary>Error.</summary>
    Error = 0,

    /// <summary>SMART and health.</summary>
    Smart = 1,

    /// <summary>Notice.</summary>
    Notice = 2,

    /// <summary>Of a command set.</summary>
    CommandSet = 6,
}
