namespace Penstock.Vfio;

/// <summary>Who is told of a guest's writes by an <see cref="IPageTracking"/>.</summary>
public interface IPageWatcher
{
    /// <summary>The guest has written to a watched page.</summary>
    /// <param name="address">Guest physical address.</param>
    /// <param name="data">What it wrote.</param>
    void PageWritten(ulong address, ReadOnlySpan<byte> data);
}
