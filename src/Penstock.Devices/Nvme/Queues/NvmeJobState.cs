namespace Penstock.Devices;

/// <summary>How far a command is.</summary>
internal enum NvmeJobState : byte
{
    /// <summary>The job holds no command.</summary>
    Free,

    /// <summary>Taken off its queue; it is to be carried out on the strand, perhaps once more.</summary>
    Taken,

    /// <summary>It is the workers'.</summary>
    Working,

    /// <summary>It has a status, its completion is to be written.</summary>
    Finished,

    /// <summary>Kept until something happens: a request for events, the deletion of a busy queue, a fused command without its second.</summary>
    Held,
}
