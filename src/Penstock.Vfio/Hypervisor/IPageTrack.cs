namespace Penstock.Vfio;

/// <summary>
/// A registration with an <see cref="IPageTracking"/>. Members may be called from any thread. When Dispose returns no call of the watcher is in
/// progress, and no page is watched for it.
/// </summary>
public interface IPageTrack : IDisposable
{
    /// <summary>Watches a page. Several watches of the same page count as one.</summary>
    /// <param name="frame">Number of the guest's page.</param>
    /// <returns>Whether the guest has such a page.</returns>
    bool Add(ulong frame);

    /// <summary>Watches a page no more. A write that is in progress may still be told.</summary>
    /// <param name="frame">Number of the guest's page.</param>
    void Remove(ulong frame);
}
