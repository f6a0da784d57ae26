using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// A place for one command that was taken and is not completed, with all that carrying it out needs. Used on the strand, but for the time
/// in which a worker has it.
/// </summary>
internal sealed class NvmeJob
{
    /// <summary>The private copy of the command; the host's may change meanwhile.</summary>
    internal NvmeCommand Command;

    internal NvmeJob(int index, uint longestTransfer)
    {
        Index = index;
        Segments = new NvmeSegment[NvmePrp.SegmentsFor(longestTransfer)];
    }

    internal int Index { get; }

    /// <summary>Where its data is, once walked.</summary>
    internal NvmeSegment[] Segments { get; }

    internal NvmeSubmissionQueue? Queue { get; set; }

    /// <summary>Which of the controller's lives it belongs to; a command of an earlier one has no effects any more.</summary>
    internal int Epoch { get; set; }

    /// <summary>Its DMA, which ends with the controller's reset.</summary>
    internal DmaTransfer Transfer { get; set; }

    internal NvmeJobState State { get; set; }

    internal NvmeStatus Status { get; set; }

    /// <summary>Command specific result, double word 0 of the completion.</summary>
    internal uint Result { get; set; }

    /// <summary>What an I/O command does, once checked.</summary>
    internal NvmeTransfer Planned { get; set; }

    /// <summary>The first of a pair that this, the second, is fused with.</summary>
    internal NvmeJob? Fused { get; set; }

    /// <summary>The worker could not go on because the function is stopped; it is to be done again.</summary>
    internal bool MustRetry { get; set; }

    internal bool IsAdmin => Queue!.Id == 0;
}
