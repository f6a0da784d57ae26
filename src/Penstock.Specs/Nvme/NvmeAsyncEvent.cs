namespace Penstock.Specs.Nvme;

/// <summary>Result of an asynchronous event request (NVM Express base specification 1.4, section 5.2.1).</summary>
public static class NvmeAsyncEvent
{
    /// <summary>Where the <see cref="NvmeAsyncEventType"/> stands, 3 bits.</summary>
    public const int TypeShift = 0;

    /// <summary>Where the information stands, 8 bits.</summary>
    public const int InfoShift = 8;

    /// <summary>Where the <see cref="NvmeLogId"/> that tells more stands, 8 bits.</summary>
    public const int LogPageShift = 16;
}
