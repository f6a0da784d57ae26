namespace Penstock.Specs.Nvme;

/// <summary>Fields of Abort (NVM Express base specification 1.4, section 5.1).</summary>
public static class NvmeAbortBits
{
    /// <summary>Submission queue, in dword 10.</summary>
    public const uint QueueMask = 0xffff;

    /// <summary>Where the command identifier stands in dword 10.</summary>
    public const int CommandShift = 16;

    /// <summary>In the result: the command was not aborted.</summary>
    public const uint NotAborted = 1;
}
