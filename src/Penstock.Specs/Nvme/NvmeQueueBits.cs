namespace Penstock.Specs.Nvme;

/// <summary>Fields of the commands that create, delete and count queues (NVM Express base specification 1.4, sections 5.3 to 5.6, 5.21.1.7).</summary>
public static class NvmeQueueBits
{
    /// <summary>Queue identifier, in dword 10.</summary>
    public const uint IdMask = 0xffff;

    /// <summary>Where the number of entries minus one stands in dword 10.</summary>
    public const int SizeShift = 16;

    /// <summary>PC in dword 11: the queue is contiguous.</summary>
    public const uint Contiguous = 1;

    /// <summary>IEN in dword 11 of a completion queue.</summary>
    public const uint InterruptsEnabled = 2;

    /// <summary>Where the interrupt vector stands in dword 11 of a completion queue.</summary>
    public const int VectorShift = 16;

    /// <summary>Where the completion queue stands in dword 11 of a submission queue.</summary>
    public const int CompletionQueueShift = 16;

    /// <summary>Where the number of completion queues minus one stands in the feature; that of submission queues is below.</summary>
    public const int CompletionQueuesShift = 16;
}
