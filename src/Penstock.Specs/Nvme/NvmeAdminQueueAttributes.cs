namespace Penstock.Specs.Nvme;

/// <summary>AQA, sizes of the admin queues (NVM Express base specification 1.4, section 3.1.8).</summary>
/// <param name="Value">The register as it is read and written.</param>
public readonly record struct NvmeAdminQueueAttributes(uint Value)
{
    /// <summary>The bits that mean something.</summary>
    public const uint Defined = 0x0fff0fff;

    /// <summary>Entries of the submission queue, 1 to 4096 (ASQS plus one); fewer than 2 are an error.</summary>
    public int SubmissionEntries
    {
        get => (int)(Value & 0xfffu) + 1;
        init => Value = (Value & ~0xfffu) | (((uint)(value - 1) & 0xfffu));
    }

    /// <summary>Entries of the completion queue, 1 to 4096 (ACQS plus one); fewer than 2 are an error.</summary>
    public int CompletionEntries
    {
        get => (int)((Value >> 16) & 0xfffu) + 1;
        init => Value = (Value & ~(0xfffu << 16)) | (((uint)(value - 1) & 0xfffu) << 16);
    }
}
